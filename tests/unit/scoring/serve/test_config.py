import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from berth_scoring.config import (
    CONFIG_VARIABLE,
    ConfigError,
    EdgeOptions,
    Layout,
    ModelSource,
    ScoringConfig,
    TlsSource,
    read_number,
)

FULL = {
    "name": "iris",
    "namespace": "demo",
    "target": "AKS",
    "models": [
        {
            "name": "iris",
            "version": "3",
            "uri": "configmap://iris-model/model.joblib",
            "source": "/var/berth/sources/model-0",
            "sha256": None,
            "format": "sklearn",
            "credentialsDir": "/var/berth/credentials/model-0",
        }
    ],
    "code": {
        "uri": "configmap://iris-code",
        "source": "/var/berth/sources/code",
        "sha256": "ab",
        "credentialsDir": None,
        "scoringScript": "main.py",
    },
    "port": 5001,
    "requests": {
        "timeoutMilliseconds": 1000,
        "maxConcurrentPerReplica": 2,
        "maxQueueWaitMilliseconds": 50,
    },
    "keysDir": "/var/berth/keys",
    "tls": {"dir": "/var/berth/tls"},
    "edge": {
        "input": "in",
        "output": "out",
        "cacheDir": "/var/berth/cache",
        "reportSeconds": 60,
        "tokenSeconds": 600,
    },
    "storageEndpoints": {"team": "https://10.0.0.4/team"},
}


def read(document: Any) -> ScoringConfig:
    return ScoringConfig.from_environment({CONFIG_VARIABLE: json.dumps(document)})


def test_the_whole_configuration_is_read() -> None:
    config = read(FULL)
    assert config.models[0].credentials_dir == Path("/var/berth/credentials/model-0")
    assert config.code is not None
    assert (config.code.scoring_script, config.code.sha256) == ("main.py", "ab")
    assert config.requests.max_concurrent_per_replica == 2
    assert config.keys_dir == Path("/var/berth/keys")
    assert config.tls == TlsSource(dir=Path("/var/berth/tls"))
    assert config.edge == EdgeOptions(
        input="in", output="out", cache_dir=Path("/var/berth/cache"), report_seconds=60, token_seconds=600
    )
    assert config.storage_endpoints == {"team": "https://10.0.0.4/team"}


def test_a_certificate_may_be_self_signed() -> None:
    tls = read({"name": "iris", "tls": {"selfSignedFor": ["localhost", "127.0.0.1"]}}).tls
    assert tls == TlsSource(self_signed_for=("localhost", "127.0.0.1"))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"tls": {}}, "tls must have either dir or selfSignedFor"),
        ({"tls": {"dir": "/tls", "selfSignedFor": ["x"]}}, "tls must have either dir or selfSignedFor"),
        ({"tls": {"selfSignedFor": "localhost"}}, "tls.selfSignedFor must be a list of names"),
        ({"tls": {"cert": "/tls"}}, "TlsSource does not know cert"),
        ({"edge": {"input": "a/b"}}, "edge.input must be a name"),
        ({"edge": {"output": ""}}, "edge.output must be a name"),
        ({"edge": {"output": None}}, "edge.output must be a name"),
        ({"edge": {"reportSeconds": 0}}, "edge.reportSeconds must be a whole number of at least 1"),
        ({"edge": {"tokenSeconds": True}}, "edge.tokenSeconds must be a whole number of at least 1"),
        ({"edge": {"inputs": []}}, "EdgeOptions does not know inputs"),
        ({"storageEndpoints": []}, "storageEndpoints must map each account"),
        ({"storageEndpoints": {"team": "ftp://10.0.0.4"}}, "storageEndpoints must map each account"),
        ({"storageEndpoints": {"team": "https://10.0.0.4?sig=x"}}, "storageEndpoints must map each account"),
        ({"storageEndpoints": {"team": 4}}, "storageEndpoints must map each account"),
    ],
)
def test_what_cannot_be_meant_is_refused(more: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read({"name": "iris", **more})


def test_absent_values_are_those_of_azure_ml() -> None:
    config = read({"name": "iris", "code": None, "keysDir": None})
    assert (config.port, config.code, config.keys_dir, config.models) == (5001, None, None, ())
    assert config.edge is None
    limits = config.requests
    assert (limits.timeout_milliseconds, limits.max_concurrent_per_replica) == (60_000, 1)
    assert limits.max_queue_wait_milliseconds == 500


def test_a_module_hears_and_speaks_as_azure_ml_s_modules() -> None:
    edge = read({"name": "iris", "edge": {}}).edge
    assert edge is not None
    assert (edge.input, edge.output, edge.cache_dir) == ("amlInput", "amlOutput", None)


def test_a_request_need_not_wait_at_all() -> None:
    limits = read({"name": "iris", "requests": {"maxQueueWaitMilliseconds": 0}}).requests
    assert limits.max_queue_wait_milliseconds == 0


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "ScoringConfig must be a JSON object"),
        ({}, "ScoringConfig lacks name"),
        ({"name": "iris", "colour": 1}, "ScoringConfig does not know colour"),
        ({"name": "iris", "models": [{"name": "iris"}]}, "ModelSource lacks version, uri"),
        ({"name": "iris", "models": [7]}, "ModelSource must be a JSON object, not 7"),
        ({"name": "iris", "code": {"uri": "x", "script": "y"}}, "CodeSource does not know script"),
        ({"name": "iris", "requests": {"timeoutMilliseconds": 0}}, "requests.timeoutMilliseconds must be"),
        ({"name": "iris", "requests": {"maxConcurrentPerReplica": True}}, "must be a whole number"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(document: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read(document)


@pytest.mark.parametrize(
    ("environment", "message"), [({}, "is not set"), ({CONFIG_VARIABLE: "{"}, "is not JSON")]
)
def test_a_variable_that_holds_no_configuration_is_told(environment: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ScoringConfig.from_environment(environment)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists), st.text())
def test_any_json_is_either_read_or_refused(value: Any, key: str) -> None:
    for document in (value, {"name": "iris", key: value}, FULL | {key: value}):
        try:
            ScoringConfig.from_json(document)
        except ConfigError:
            continue


@pytest.mark.parametrize(("text", "value"), [(None, 5), ("7", 7), (" 1 ", 1)])
def test_a_number_is_read_from_its_variable(text: str | None, value: int) -> None:
    assert read_number({} if text is None else {"N": text}, "N", 5, least=1) == value


@pytest.mark.parametrize("text", ["abc", "", "0", "-1", "1.5"])
def test_what_is_no_number_or_too_small_is_refused_by_its_variable(text: str) -> None:
    with pytest.raises(ConfigError, match=f"N must be a whole number of at least 1, not '{text}'"):
        read_number({"N": text}, "N", 5, least=1)


@pytest.mark.parametrize("text", ["nan", "inf", "-0.1"])
def test_a_fraction_must_be_a_finite_number(text: str) -> None:
    assert read_number({"N": "0"}, "N", 5.0, least=0) == 0
    with pytest.raises(ConfigError, match="N must be a number of at least 0"):
        read_number({"N": text}, "N", 5.0, least=0)


def source(name: str, version: str) -> ModelSource:
    return ModelSource(name=name, version=version, uri="file:///x")


def test_one_model_is_its_own_folder_and_several_share_a_parent() -> None:
    layout = Layout()
    one, two = source("iris", "3"), source("digits", "1")
    assert layout.model_dir((one,)) == Path("/var/azureml-app/azureml-models/iris/3")
    assert layout.model_dir((one, two)) == Path("/var/azureml-app/azureml-models")


def test_the_places_may_be_moved() -> None:
    layout = Layout.from_environment({"BERTH_APP_ROOT": "/a", "BERTH_TERMINATION_LOG": "/b"})
    assert (layout.code, layout.termination_log) == (Path("/a/code"), Path("/b"))
