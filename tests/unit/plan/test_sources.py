import json
from dataclasses import asdict
from typing import Any

import pytest
from deployments import IMAGE, MODEL, Spec, aks_specs, spec, subject
from hypothesis import given

from berth.plan.children import deployment
from berth.plan.sources import scoring_config, sources
from berth_scoring.config import ScoringConfig

SOURCE = "/var/berth/sources/model-0"


def pod(fields: Spec) -> Any:
    return deployment(subject(fields), IMAGE, observed=None).body["spec"]["template"]["spec"]


def config(container: Any) -> Any:
    return next(
        json.loads(each["value"]) for each in container["env"] if each["name"] == "BERTH_SCORING_CONFIG"
    )


def volume(fields: Spec, name: str) -> Any:
    return next((each for each in pod(fields)["volumes"] if each["name"] == name), None)


@pytest.mark.parametrize(
    ("uri", "expected", "path"),
    [
        ("configmap://iris", {"configMap": {"name": "iris"}}, SOURCE),
        (
            "configmap://iris/model.onnx",
            {"configMap": {"name": "iris", "items": [{"key": "model.onnx", "path": "model.onnx"}]}},
            SOURCE,
        ),
        (
            "pvc://models/iris/3/model.onnx",
            {"persistentVolumeClaim": {"claimName": "models"}},
            f"{SOURCE}/iris/3/model.onnx",
        ),
        ("https://example.org/iris.onnx", None, None),
        ("file:///models/iris.onnx", None, None),
    ],
)
def test_each_scheme_has_its_volume_and_its_path(uri: str, expected: Any, path: str | None) -> None:
    fields = spec(model=MODEL | {"uri": uri})
    assert volume(fields, "model-0") == (expected and {"name": "model-0", **expected})
    assert config(pod(fields)["initContainers"][0])["models"][0]["source"] == path
    mounted = [
        mount["mountPath"]
        for each in ("initContainers", "containers")
        for mount in pod(fields)[each][0]["volumeMounts"]
    ]
    assert mounted.count(SOURCE) == (2 if expected else 0)


STORED = MODEL | {"uri": "abfss://models@account.dfs.core.windows.net/iris"}


def labels(fields: Spec) -> Any:
    return deployment(subject(fields), IMAGE, observed=None).body["spec"]["template"]["metadata"]["labels"]


def test_a_secret_opens_azure_storage_for_the_fetch_container() -> None:
    fields = spec(model=STORED | {"credentialsSecretRef": {"name": "blob"}})
    assert volume(fields, "credentials-model-0") == {
        "name": "credentials-model-0",
        "secret": {"secretName": "blob"},
    }
    fetch = pod(fields)["initContainers"][0]
    (model,) = ScoringConfig.from_json(config(fetch)).models
    assert (model.uri, str(model.credentials_dir)) == (STORED["uri"], "/var/berth/credentials/model-0")
    assert str(model.credentials_dir) in [mount["mountPath"] for mount in fetch["volumeMounts"]]


@pytest.mark.parametrize(
    ("model", "aks", "asked"),
    [
        (STORED, {"serviceAccountName": "reader"}, True),
        (STORED, {}, False),
        (STORED | {"credentialsSecretRef": {"name": "blob"}}, {"serviceAccountName": "reader"}, False),
        (MODEL, {"serviceAccountName": "reader"}, False),
    ],
)
def test_a_token_of_the_service_account_is_asked_for_where_it_opens_storage(
    model: Spec, aks: Spec, asked: bool
) -> None:
    told = labels(spec(model=model, aks=aks))
    assert (told.get("azure.workload.identity/use") == "true") is asked


def test_several_models_and_code_lie_apart() -> None:
    fields = spec(
        model=None,
        models=[MODEL, MODEL | {"name": "other", "uri": "pvc://models/other"}],
        code={"uri": "configmap://code", "scoringScript": "src/score.py"},
    )
    assert [source.slot for source in sources(subject(fields).spec)] == ["model-0", "model-1", "code"]
    told = config(pod(fields)["containers"][0])
    assert [model["source"] for model in told["models"]] == [SOURCE, "/var/berth/sources/model-1/other"]
    assert told["code"]["source"] == "/var/berth/sources/code"
    assert told["code"]["scoringScript"] == "src/score.py"


def test_credentials_are_mounted_where_the_model_is_fetched_and_nowhere_else() -> None:
    fields = spec(model=MODEL | {"uri": "https://example.org/m", "credentialsSecretRef": {"name": "blob"}})
    assert volume(fields, "credentials-model-0")["secret"] == {"secretName": "blob"}
    fetch, serve = pod(fields)["initContainers"][0], pod(fields)["containers"][0]
    assert config(fetch)["models"][0]["credentialsDir"] == "/var/berth/credentials/model-0"
    assert "credentials-model-0" in {mount["name"] for mount in fetch["volumeMounts"]}
    assert "credentials-model-0" not in {mount["name"] for mount in serve["volumeMounts"]}


def test_keys_are_mounted_where_requests_are_answered_and_nowhere_else() -> None:
    fetch, serve = pod(spec())["initContainers"][0], pod(spec())["containers"][0]
    assert config(serve)["keysDir"] == "/var/berth/keys"
    assert config(fetch)["keysDir"] is None
    assert "keys" not in {mount["name"] for mount in fetch["volumeMounts"]}


def test_an_own_image_finds_the_model_where_azure_ml_had_it() -> None:
    container = pod(spec(image="registry.test/own:1"))["containers"][0]
    assert {"name": "AZUREML_MODEL_DIR", "value": "/var/azureml-app/azureml-models/iris/3"} in container[
        "env"
    ]
    assert container["livenessProbe"]["httpGet"]["path"] == "/"
    assert "args" not in container


def test_an_image_built_on_berths_is_run_and_asked_as_berths() -> None:
    own = pod(spec(image="registry.test/own:1", imageServer="Berth"))
    berths = pod(spec())
    serving = own["containers"][0]
    assert serving.pop("image") == "registry.test/own:1"
    del berths["containers"][0]["image"], berths["containers"][0]["imagePullPolicy"]
    assert own == berths


def test_an_own_image_without_a_model_fetches_nothing() -> None:
    assert "initContainers" not in pod(spec(image="registry.test/own:1", model=None))


def test_the_container_is_told_no_default() -> None:
    """A limit that a later version adds would restart every model."""
    fields = spec(requests={"timeoutMilliseconds": 5, "maxConcurrentPerReplica": 1})
    assert config(pod(fields)["containers"][0])["requests"] == {"timeoutMilliseconds": 5}


@given(aks_specs())
def test_what_the_container_is_told_is_json_and_names_every_model(fields: Spec) -> None:
    parsed = subject(fields).spec
    told = json.loads(json.dumps(scoring_config("iris", "demo", parsed, keys=None, server={"port": 5001})))
    assert [model["name"] for model in told["models"]] == [model.name for model in parsed.all_models]
    understood = ScoringConfig.from_json(told).requests
    assert asdict(understood) == parsed.requests.model_dump()
    assert (told["code"] is None) is (parsed.code is None)
