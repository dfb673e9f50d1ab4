"""Keys, certificates, HTTP beside gRPC, and metrics of a pipeline."""

import base64
import json
import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import trustme
from fpga_pipelines import (
    GrpcClient,
    PipelineServer,
    classifier_graph,
    jpeg,
    pipeline_server,
    refused,
    slow_graph,
    strings,
)
from grpc_health.v1 import health_pb2, health_pb2_grpc

from berth_scoring.fpga.wire import prediction_service_pb2 as serving

GREEN = (0, 255, 0)
IMAGE = {"Content-Type": "image/jpeg"}
ONE = serving.PredictRequest(inputs={"images": strings(jpeg(GREEN))})


def put_keys(folder: Path, **keys: str) -> str:
    folder.mkdir(exist_ok=True)
    for name, key in keys.items():
        (folder / name).write_text(key)
    return str(folder)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PipelineServer]:
    folder = tmp_path_factory.mktemp("keys")
    keys = put_keys(folder / "keys", primaryKey="first", secondaryKey="second")
    options = {"maxBatch": 2}
    with pipeline_server(folder, classifier=classifier_graph(), pipeline=options, keysDir=keys) as started:
        yield started


def with_key(server: PipelineServer, value: str | None) -> GrpcClient:
    return server.client(metadata=[] if value is None else [("authorization", value)])


@pytest.mark.parametrize("value", ["first", "second", "Bearer first"])
def test_either_key_is_taken_bare_or_as_a_bearers(server: PipelineServer, value: str) -> None:
    assert with_key(server, value).predict(ONE).outputs


@pytest.mark.parametrize("value", [None, "", "third", "Basic first", "firstsecond"])
def test_calls_without_a_key_are_refused(server: PipelineServer, value: str | None) -> None:
    code, told = refused(lambda: with_key(server, value).predict(ONE))
    assert code == grpc.StatusCode.UNAUTHENTICATED
    assert "authorization: <primary or secondary key>" in told


def test_a_large_message_without_a_key_is_refused_all_the_same(server: PipelineServer) -> None:
    large = serving.PredictRequest(inputs={"images": strings(b"\0" * 60_000_000)})
    assert refused(lambda: with_key(server, None).predict(large))[0] == grpc.StatusCode.UNAUTHENTICATED


def test_health_needs_no_key(server: PipelineServer) -> None:
    stub = health_pb2_grpc.HealthStub(server.client().channel)
    answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=20)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


AUTHORIZED = {"Authorization": "Bearer first"}


def score(server: PipelineServer, body: bytes | object, **headers: str) -> tuple[int, dict[str, str], Any]:
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    status, answered, content = server.http("POST", "/score", sent, **AUTHORIZED, **headers)
    return status, answered, json.loads(content)


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def test_a_jpeg_may_be_the_body_of_score(server: PipelineServer) -> None:
    status, headers, rows = score(server, jpeg(GREEN), **IMAGE)
    assert (status, np.argmax(rows[0])) == (200, 1)
    assert headers["x-berth-device"] == "cpu"


def test_the_root_tells_everyone_what_the_pipeline_runs_on(server: PipelineServer) -> None:
    status, headers, body = server.http("GET", "/")
    assert (status, body) == (200, b"Healthy")
    told = [headers[f"x-berth-{name}"] for name in ("device", "execution-provider", "featurizer")]
    assert told == ["cpu", "CPUExecutionProvider", "ResNet50"]


def test_score_takes_jpegs_in_base64(server: PipelineServer) -> None:
    status, _, rows = score(server, {"data": [encoded(jpeg((0, 0, 255))), encoded(jpeg(GREEN))]})
    assert (status, np.argmax(rows, axis=1).tolist()) == (200, [2, 1])


def test_score_takes_arrays(server: PipelineServer) -> None:
    images = np.zeros((1, 224, 224, 3))
    images[..., 1] = 9
    status, _, rows = score(server, {"data": images.tolist()})
    assert (status, np.argmax(rows[0])) == (200, 1)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"data": ["%"]}, "'data', image 0: not base64"),
        ({"data": [encoded(b"GIF89a")]}, "'data', image 0: not a JPEG"),
        ({"data": []}, "'data': the batch is empty"),
        ({"data": [encoded(jpeg())] * 3}, "'data': a batch of 3 images, at most 2"),
        ({"data": [[1, 2], [3, 4]]}, "'data': expected shape [-1, 224, 224, 3]"),
        ({"data": [[1, 2], [3]]}, "'data': neither"),
        ({"data": [1, "x"]}, "'data': neither"),
        ({"data": "x"}, "'data' must be a list"),
        ({}, "'data' must be a list"),
    ],
)
def test_bad_requests_to_score_are_refused_by_name(server: PipelineServer, body: object, words: str) -> None:
    status, headers, answer = score(server, body)
    assert status == 400
    assert words in answer["message"]
    assert headers["x-berth-device"] == "cpu"


def test_score_needs_a_key(server: PipelineServer) -> None:
    assert server.http("POST", "/score", b"{}")[0] == 401


def test_latencies_of_each_stage_are_metrics(server: PipelineServer) -> None:
    def counted() -> dict[str, float]:
        lines = server.http("GET", "/metrics")[2].decode().splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return {name: float(value) for name, value in pairs}

    before = counted()
    with_key(server, "first").predict(ONE)
    after = counted()
    for stage in ("preprocess", "wait", "featurizer", "classifier"):
        series = f'berth_scoring_stage_duration_seconds_count{{stage="{stage}"}}'
        assert after[series] == before[series] + 1
    answered = 'berth_scoring_grpc_requests_total{code="OK",method="Predict"}'
    assert after[answered] == before.get(answered, 0) + 1
    assert after['berth_scoring_device_up{device="cpu"}'] == 1


def install(authority: trustme.CA, folder: Path) -> None:
    issued = authority.issue_cert("localhost")
    issued.private_key_pem.write_to_path(folder / "tls.key")
    (folder / "tls.crt").write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))


def trusting(authority: trustme.CA) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(authority.cert_pem.bytes())


def eventually(client: GrpcClient) -> bool:
    return bool(client.call(ONE, wait_for_ready=True)[0].outputs)


def test_tls_is_spoken_where_there_is_a_certificate(authority: trustme.CA, tmp_path: Path) -> None:
    install(authority, tmp_path)
    with pipeline_server(tmp_path, classifier=classifier_graph(), tls={"dir": str(tmp_path)}) as server:
        assert eventually(server.client(credentials=trusting(authority)))
        code, _ = refused(lambda: server.client().predict(ONE))
        assert code == grpc.StatusCode.UNAVAILABLE
        stranger = server.client(credentials=trusting(trustme.CA()))
        assert refused(lambda: stranger.predict(ONE))[0] == grpc.StatusCode.UNAVAILABLE
        assert eventually(server.client(credentials=trusting(authority)))


def test_a_certificate_of_its_own_is_shown_where_that_is_asked_for(tmp_path: Path) -> None:
    with pipeline_server(
        tmp_path, classifier=classifier_graph(), tls={"selfSignedFor": ["localhost"]}
    ) as server:
        shown = certificate_of(server.port)
        assert eventually(server.client(credentials=grpc.ssl_channel_credentials(shown.encode())))


def certificate_of(port: int) -> str:
    end = time.monotonic() + 20
    while True:
        try:
            return ssl.get_server_certificate(("localhost", port), timeout=5)
        except OSError:
            assert time.monotonic() < end
            time.sleep(0.05)


def test_a_new_certificate_is_shown_to_new_connections(authority: trustme.CA, tmp_path: Path) -> None:
    install(authority, tmp_path)
    with pipeline_server(tmp_path, classifier=classifier_graph(), tls={"dir": str(tmp_path)}) as server:
        old = server.client(credentials=trusting(authority))
        assert eventually(old)
        other = trustme.CA()
        install(other, tmp_path)
        assert eventually(server.client(credentials=trusting(other)))
        assert old.predict(ONE).outputs


def test_who_finds_the_device_busy_is_told_to_come_again(tmp_path: Path) -> None:
    limits = {"maxQueueWaitMilliseconds": 0, "timeoutMilliseconds": 20_000}
    with pipeline_server(tmp_path, weights=slow_graph(60), requests=limits) as server:
        client = server.client()
        one = serving.PredictRequest(inputs={"images": strings(jpeg(GREEN))})
        with ThreadPoolExecutor(4) as pool:
            codes = list(pool.map(lambda _: code_of(client, one), range(4)))
            answers = list(pool.map(lambda _: server.http("POST", "/score", jpeg(), **IMAGE), range(4)))
        assert sorted(set(codes)) == ["OK", "UNAVAILABLE"]
        assert sorted({status for status, _, _ in answers}) == [200, 503]
        assert {headers["retry-after"] for status, headers, _ in answers if status == 503} == {"1"}


def code_of(client: GrpcClient, request: serving.PredictRequest) -> str:
    try:
        client.predict(request)
    except grpc.RpcError as error:
        code: grpc.StatusCode = error.code()
        return code.name
    return "OK"
