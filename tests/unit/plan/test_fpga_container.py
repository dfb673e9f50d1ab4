"""What the plan tells the container, the container understands; what the container tells, a user reads."""

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from deployments import IMAGE, Spec
from fpga_deployments import fpga_spec, fpga_subject, pool
from fpga_pipelines import array_of, classifier_graph, jpeg, pipeline_server, strings
from kubelet_pods import crash_loop, pod, terminated, waiting

from berth.api.conditions import Reason
from berth.api.fpga_place import FpgaPlace
from berth.core.keys import Key
from berth.kube.endpoint import Endpoints
from berth.plan import children
from berth.plan.causes import first_cause, model_failed
from berth.plan.fpga_plan import Runtime
from berth.targets.runtimes import Runtimes
from berth_scoring.config import ScoringConfig
from berth_scoring.fpga.options import PipelineOptions
from berth_scoring.fpga.wire import prediction_service_pb2 as serving

STARTED_AT = ("port", "weights", "classifier")
"""What the test's server chooses itself."""


def environment(fpga: Spec, place: FpgaPlace | None = None, **fields: Any) -> dict[str, str]:
    of = fpga_subject(fpga_spec(fpga, **fields), place)
    container = children.deployment(of, IMAGE, observed=None).body["spec"]["template"]["spec"]["containers"][
        0
    ]
    return {each["name"]: each["value"] for each in container["env"]}


def read(fpga: Spec, place: FpgaPlace | None = None, **fields: Any) -> tuple[ScoringConfig, PipelineOptions]:
    config = ScoringConfig.from_environment(environment(fpga, place, **fields))
    assert config.pipeline is not None
    return config, config.pipeline


def test_the_container_reads_what_the_spec_says() -> None:
    names = {"inputTensor": "picture", "outputTensor": "classes"}
    config, options = read({**names, "featurizer": "VGG16", "weights": {"uri": "pvc://w/a"}, "batchSize": 8})
    assert (options.featurizer, options.input_tensor, options.output_tensor) == (
        "VGG16",
        "picture",
        "classes",
    )
    assert (options.max_batch, options.port, config.port) == (8, 8500, 5001)
    assert [model.name for model in config.models] == [options.classifier, options.weights]


def test_the_container_reads_what_the_pool_says() -> None:
    place = pool(
        executionProvider="VitisAIExecutionProvider",
        providerOptions={"target": "u250"},
        deviceFiles=["/dev/acl*"],
    )
    _, options = read({}, place)
    assert (options.provider, options.provider_options) == ("VitisAIExecutionProvider", {"target": "u250"})
    assert options.devices == ("/dev/acl*",)


def test_without_a_word_the_container_uses_its_own_defaults() -> None:
    _, options = read({}, model=None)
    own = PipelineOptions(featurizer="ResNet50", weights="weights")
    assert options == own


@pytest.mark.parametrize("tls", [{"selfSigned": True}, {"secretRef": {"name": "cert"}}])
def test_the_container_reads_where_its_certificate_is(tls: Spec) -> None:
    assert read({}, tls=tls)[0].tls is not None


def test_the_container_answers_by_the_names_of_the_spec(tmp_path: Path) -> None:
    told = json.loads(
        environment({"inputTensor": "picture", "outputTensor": "classes"})["BERTH_SCORING_CONFIG"]
    )
    given = {name: value for name, value in told["pipeline"].items() if name not in STARTED_AT}
    with pipeline_server(tmp_path, classifier=classifier_graph(), pipeline=given) as server:
        request = serving.PredictRequest(inputs={"picture": strings(jpeg((255, 0, 0)))})
        outputs = server.client().predict(request).outputs
    assert list(outputs) == ["classes"]
    assert array_of(outputs["classes"]).argmax() == 0


async def test_the_operator_learns_from_the_container_what_it_runs_on(tmp_path: Path) -> None:
    woken = asyncio.Event()
    endpoints = Endpoints()
    runtimes = Runtimes(endpoints.headers, lambda key: woken.set())
    with pipeline_server(tmp_path) as server:
        root = f"http://127.0.0.1:{server.http_port}"
        assert runtimes.told(Key("demo", "iris"), root, "hash") is None
        await asyncio.wait_for(woken.wait(), 10)
    assert runtimes.told(Key("demo", "iris"), root, "hash") == Runtime("cpu", "CPUExecutionProvider")
    await endpoints.close()


def test_a_classifier_that_does_not_fit_is_told_with_both_shapes(tmp_path: Path) -> None:
    with pipeline_server(tmp_path, classifier=classifier_graph(size=1024), ready=False) as server:
        code = server.process.wait(30)
        last_words = server.termination
    cause = first_cause([pod(crash_loop(code, last_words))])
    assert cause is not None
    assert cause.reason is Reason.CLASSIFIER_MISMATCH
    assert model_failed(cause)
    assert "takes [-1, 1024]" in cause.message
    assert "gives [-1, 1, 1, 2048]" in cause.message


def test_weights_of_another_digest_are_told(tmp_path: Path) -> None:
    other = {"weights": "0" * 64}
    with pytest.raises(subprocess.CalledProcessError) as fetch, pipeline_server(tmp_path, digests=other):
        pass
    last_words = (tmp_path / "termination-log").read_text()
    failed = terminated(fetch.value.returncode, last_words)
    cause = first_cause([pod(waiting("PodInitializing"), fetch=failed)])
    assert cause is not None
    assert cause.reason is Reason.MODEL_DIGEST_MISMATCH
    assert cause.is_final
    assert "weights" in cause.message
