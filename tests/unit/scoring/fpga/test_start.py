"""A pipeline is ready when its device has answered, tells why it cannot start, and dies with its device."""

import hashlib
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from fpga_pipelines import (
    PipelineServer,
    classifier_graph,
    featurizer_graph,
    graph,
    jpeg,
    pipeline_server,
    refused,
    slow_graph,
    strings,
)
from grpc_health.v1 import health_pb2, health_pb2_grpc
from onnx import helper

from berth_scoring.fpga.wire import prediction_service_pb2 as serving

ONE = serving.PredictRequest(inputs={"images": strings(jpeg())})


def failed(server: PipelineServer) -> str:
    assert server.process.wait(30) == 3
    return server.termination


def unknown_operator() -> bytes:
    """Return a graph with an operator of a device that is not here."""
    shape = ["N", 224, 224, 3]
    made = helper.make_graph(
        [helper.make_node("Convolve", ["image"], ["features"], domain="com.example")],
        "tiny",
        [helper.make_tensor_value_info("image", 1, shape)],
        [helper.make_tensor_value_info("features", 1, ["N", 2048])],
    )
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("com.example", 1)]
    content: bytes = helper.make_model(made, opset_imports=imports, ir_version=8).SerializeToString()
    return content


@pytest.mark.parametrize(
    ("given", "words"),
    [
        pytest.param(
            {"classifier": classifier_graph(size=1024)},
            ["ClassifierMismatch", "[-1, 1024] in 'x'", "ResNet50 gives [-1, 1, 1, 2048] in 'features'"],
            id="classifier of another featurizer",
        ),
        pytest.param(
            {"classifier": classifier_graph(), "weights": featurizer_graph(size=1024)},
            ["ClassifierMismatch", "gives [-1, 1, 1, 1024]", "[-1, 1, 1, 2048] were expected"],
            id="weights of another featurizer",
        ),
        pytest.param(
            {"weights": featurizer_graph(side=299)},
            ["ModelLoadFailed", "[-1, 299, 299, 3] in 'image'", "ResNet50 takes [-1, 224, 224, 3]"],
            id="weights for other images",
        ),
        pytest.param({"weights": featurizer_graph()[:-100]}, ["ModelLoadFailed"], id="truncated weights"),
        pytest.param(
            {"weights": featurizer_graph(), "classifier": classifier_graph()[:-100]},
            ["ModelLoadFailed"],
            id="truncated classifier",
        ),
        pytest.param({"weights": unknown_operator()}, ["ModelLoadFailed", "Convolve"], id="unknown operator"),
        pytest.param(
            {"pipeline": {"provider": "VitisAIExecutionProvider"}},
            [
                "DeviceUnavailable",
                "this image has no VitisAIExecutionProvider; it has",
                "CPUExecutionProvider",
            ],
            id="provider that is not there",
        ),
        pytest.param(
            {"environment": {"BERTH_EXECUTION_PROVIDER": "VitisAIExecutionProvider"}},
            ["DeviceUnavailable", "this image has no VitisAIExecutionProvider"],
            id="provider of the image that is not there",
        ),
        pytest.param(
            {"pipeline": {"featurizer": "AlexNet"}},
            ["ConfigInvalid", "'AlexNet'", "ResNet50, ResNet152, DenseNet121, VGG16, SSDVGG"],
            id="unknown featurizer",
        ),
        pytest.param(
            {"pipeline": {"devices": ["/dev/no-such-device*"]}},
            ["DeviceUnavailable", "no device at /dev/no-such-device*"],
            id="no device",
        ),
        pytest.param(
            {"environment": {"BERTH_DEVICES": "/dev/null /dev/no-such-device*"}},
            ["DeviceUnavailable", "no device at /dev/no-such-device*"],
            id="no device of the image",
        ),
    ],
)
def test_what_cannot_start_says_why(tmp_path: Path, given: dict[str, Any], words: list[str]) -> None:
    with pipeline_server(tmp_path, ready=False, **given) as server:
        told = failed(server)
    assert told.startswith(words[0])
    assert all(word in told for word in words), told


def test_weights_of_another_digest_are_not_served(tmp_path: Path) -> None:
    with (
        pytest.raises(subprocess.CalledProcessError),
        pipeline_server(tmp_path, digests={"weights": "0" * 64}),
    ):
        pass
    told = (tmp_path / "termination-log").read_text()
    assert told.startswith("ModelDigestMismatch: model weights:3:")


def test_digests_of_weights_and_classifier_are_reported(tmp_path: Path) -> None:
    with pipeline_server(tmp_path, classifier=classifier_graph()):
        report = json.loads((tmp_path / "termination-log").read_text())
    contents = {"weights": featurizer_graph(), "flowers": classifier_graph()}
    expected = {name: f"sha256:{hashlib.sha256(content).hexdigest()}" for name, content in contents.items()}
    assert {model["name"]: model["digest"] for model in report["models"]} == expected


def test_a_server_without_a_pipeline_loads_nothing_of_it() -> None:
    program = "import sys, berth_scoring.serve, berth_scoring.formats.service; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    ).stdout
    assert "berth_scoring.serve" in loaded.split()
    assert not {"grpc", "PIL", "google.protobuf", "onnxruntime"} & set(loaded.split())


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    with pipeline_server(tmp_path / "one") as first:
        taken = {"port": first.port}
        with pipeline_server(tmp_path / "two", ready=False, pipeline=taken) as second:
            assert failed(second).startswith(f"PortUnavailable: cannot listen on port {first.port}")


def health(server: PipelineServer) -> int:
    stub = health_pb2_grpc.HealthStub(server.client().channel)
    status: int = stub.Check(health_pb2.HealthCheckRequest(), timeout=20).status
    return status


def eventually(condition: Any, seconds: float = 10) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


def test_a_replica_dies_with_its_device(tmp_path: Path) -> None:
    device = tmp_path / "acl0"
    device.touch()
    with pipeline_server(tmp_path, pipeline={"devices": [str(tmp_path / "acl*")]}) as server:
        assert server.client().predict(ONE).outputs
        assert health(server) == health_pb2.HealthCheckResponse.SERVING
        device.unlink()
        server.wait("/livez", 503)
        status, _, body = server.http("GET", "/readyz")
        assert (status, str(device) in body.decode()) == (503, True)
        assert eventually(lambda: health(server) == health_pb2.HealthCheckResponse.NOT_SERVING)
        assert b'berth_scoring_device_up{device="cpu"} 0.0' in server.http("GET", "/metrics")[2]


def test_an_image_names_its_provider_and_its_devices(tmp_path: Path) -> None:
    devices = [tmp_path / "acl0", tmp_path / "xclmgmt"]
    for device in devices:
        device.touch()
    environment = {
        "BERTH_EXECUTION_PROVIDER": "AzureExecutionProvider",  # the one beside the CPU's that needs no device
        "BERTH_DEVICES": f"{tmp_path}/acl* {tmp_path}/xclmgmt",
    }
    with pipeline_server(tmp_path, environment=environment) as server:
        assert server.client().call(ONE)[1]["berth-execution-provider"] == "AzureExecutionProvider"
        devices[1].unlink()
        server.wait("/livez", 503)


def test_the_provider_and_the_devices_of_the_target_go_before_those_of_the_image(tmp_path: Path) -> None:
    environment = {
        "BERTH_EXECUTION_PROVIDER": "VitisAIExecutionProvider",
        "BERTH_DEVICES": "/dev/no-such-device*",
    }
    options = {"provider": "CPUExecutionProvider", "devices": ["/dev/null"]}
    with pipeline_server(tmp_path, pipeline=options, environment=environment) as server:
        assert server.client().call(ONE)[1]["berth-device"] == "cpu"


def fragile_graph() -> bytes:
    """Return a featurizer that answers dark images and fails on bright ones."""
    return graph(
        [
            helper.make_node("ReduceMax", ["image"], ["brightest"], axes=[1, 2, 3], keepdims=0),
            helper.make_node("Cast", ["brightest"], ["index"], to=7),
            helper.make_node("Gather", ["table", "index"], ["features"], axis=0),
        ],
        ("image", ["N", 224, 224, 3]),
        [("features", ["N", 8])],
        table=np.ones((110, 8), np.float32),
    )


def test_a_failed_run_is_told_and_the_device_is_tested(tmp_path: Path) -> None:
    with pipeline_server(tmp_path, weights=fragile_graph()) as server:
        client = server.client()
        code, told = refused(
            lambda: client.predict(serving.PredictRequest(inputs={"images": strings(jpeg((255, 255, 255)))}))
        )
        assert code == grpc.StatusCode.INTERNAL
        assert "the device has failed" in told
        time.sleep(0.5)
        assert server.http("GET", "/livez")[0] == 200, "it answers its test"
        assert client.predict(serving.PredictRequest(inputs={"images": strings(jpeg((0, 0, 0)))})).outputs


def test_a_run_past_its_deadline_is_ended_and_leaves_the_device_to_the_next(tmp_path: Path) -> None:
    limits = {"timeoutMilliseconds": 100, "maxQueueWaitMilliseconds": 0}
    weights = slow_graph(300)
    with pipeline_server(tmp_path, weights=weights, requests=limits) as server:
        client = server.client()
        code, told = refused(lambda: client.predict(ONE))
        assert code == grpc.StatusCode.DEADLINE_EXCEEDED
        assert "ended after 100 ms" in told
        assert refused(lambda: client.predict(ONE))[0] == grpc.StatusCode.DEADLINE_EXCEEDED
        assert server.http("GET", "/livez")[0] == 200


def test_calls_under_way_are_answered_while_the_server_stops(tmp_path: Path) -> None:
    with pipeline_server(tmp_path) as server:
        client = server.client()
        assert client.predict(ONE).outputs
        answers = [
            client.channel.unary_unary(
                "/tensorflow.serving.PredictionService/Predict",
                serving.PredictRequest.SerializeToString,
                serving.PredictResponse.FromString,
            ).future(ONE, timeout=20)
            for _ in range(20)
        ]
        answers[0].result()
        server.process.send_signal(signal.SIGTERM)
        assert all(answer.result().outputs for answer in answers)
        assert server.process.wait(20) == 0
