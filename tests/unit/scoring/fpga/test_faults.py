"""Clients that stall, leave or come in crowds, and a device that goes: a real server goes on."""

import signal
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from fpga_pipelines import (
    SERVICE,
    GrpcClient,
    PipelineServer,
    jpeg,
    pipeline_server,
    refused,
    slow_graph,
    strings,
)
from grpc_health.v1 import health_pb2, health_pb2_grpc
from http2_calls import RESET, Http2Connection

from berth_scoring.fpga.wire import prediction_service_pb2 as serving

ONE = serving.PredictRequest(inputs={"images": strings(jpeg())})
MESSAGE = ONE.SerializeToString()
STALLED = 40


def begun_call(port: int) -> Http2Connection:
    """Return a connection with a call of whose message only half has been sent."""
    connection = Http2Connection(port, f"{SERVICE}/Predict")
    connection.begin(MESSAGE)
    return connection


def future(client: GrpcClient, timeout: float = 30) -> Any:
    method = client.channel.unary_unary(
        f"{SERVICE}/Predict", serving.PredictRequest.SerializeToString, serving.PredictResponse.FromString
    )
    return method.future(ONE, timeout=timeout)


def eventually(condition: Any, seconds: float = 10) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def metric(server: PipelineServer, series: str) -> float:
    lines = server.http("GET", "/metrics")[2].decode().splitlines()
    return next((float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(f"{series} ")), 0.0)


def featurizer_runs(server: PipelineServer) -> float:
    return metric(server, 'berth_scoring_stage_duration_seconds_count{stage="featurizer"}')


def test_clients_that_stall_in_a_message_hold_up_no_one(tmp_path: Path) -> None:
    with pipeline_server(tmp_path) as server, ExitStack() as stack:
        for _ in range(STALLED):
            stack.enter_context(begun_call(server.port))
        client = server.client()
        assert client.predict(ONE, timeout=5).outputs
        stub = health_pb2_grpc.HealthStub(client.channel)
        assert stub.Check(health_pb2.HealthCheckRequest(), timeout=5).status == 1
        assert server.http("POST", "/score", jpeg(), **{"Content-Type": "image/jpeg"})[0] == 200


def test_a_call_whose_message_does_not_come_is_ended(tmp_path: Path) -> None:
    with pipeline_server(tmp_path, requests={"timeoutMilliseconds": 300}) as server:
        with begun_call(server.port) as connection:
            assert any(kind == RESET and stream == 1 for kind, _, stream, _ in connection.frames())
        assert server.client().predict(ONE).outputs


def test_who_has_gone_does_not_take_the_device(tmp_path: Path) -> None:
    limits = {"maxQueueWaitMilliseconds": 20_000}
    with pipeline_server(tmp_path, weights=slow_graph(200), requests=limits) as server:
        client = server.client()
        before = featurizer_runs(server)
        first = future(client)
        assert eventually(lambda: metric(server, "berth_scoring_in_flight") == 1)
        gone = [future(client) for _ in range(3)]
        time.sleep(0.1)
        for each in gone:
            each.cancel()
        assert first.result().outputs
        assert client.predict(ONE).outputs
        assert featurizer_runs(server) == before + 2
        cancelled = 'berth_scoring_grpc_requests_total{code="CANCELLED",method="Predict"}'
        assert eventually(lambda: metric(server, cancelled) == 3)


def test_a_crowd_beyond_the_queue_is_told_to_come_again(tmp_path: Path) -> None:
    limits = {"maxQueueWaitMilliseconds": 200}
    with pipeline_server(tmp_path, weights=slow_graph(60), requests=limits) as server:
        client = server.client()
        started = time.monotonic()
        calls = [future(client) for _ in range(200)]
        codes = [call.code().name for call in calls]
        assert time.monotonic() - started < 20
        assert {"OK", "UNAVAILABLE", "RESOURCE_EXHAUSTED"} == set(codes), codes
        assert codes.count("RESOURCE_EXHAUSTED") <= 200 - 128
        assert client.predict(ONE).outputs


def test_a_server_that_is_told_to_stop_answers_what_it_has_and_takes_no_more(tmp_path: Path) -> None:
    with pipeline_server(tmp_path, weights=slow_graph(400)) as server:
        client, other = server.client(), server.client()
        stub = health_pb2_grpc.HealthStub(other.channel)
        under_way = future(client)
        assert eventually(lambda: metric(server, "berth_scoring_in_flight") == 1)
        server.process.send_signal(signal.SIGTERM)
        states = []
        watch = stub.Watch(health_pb2.HealthCheckRequest(), timeout=10)
        for answer in watch:
            states.append(answer.status)
            if answer.status == health_pb2.HealthCheckResponse.NOT_SERVING:
                break
        assert states[-1] == health_pb2.HealthCheckResponse.NOT_SERVING
        assert eventually(lambda: is_refused(server))
        assert not under_way.done()
        assert under_way.result().outputs
        assert server.process.wait(20) == 0


def is_refused(server: PipelineServer) -> bool:
    try:
        server.client().predict(ONE, timeout=0.2)
    except grpc.RpcError as error:
        code: Any = error
        return bool(code.code() == grpc.StatusCode.UNAVAILABLE)
    return False


@pytest.mark.parametrize("count", [1, 2])
def test_a_device_that_goes_under_load_fails_the_calls_and_serves_after_a_restart(
    tmp_path: Path, count: int
) -> None:
    devices = [tmp_path / f"acl{number}" for number in range(count)]
    for device in devices:
        device.touch()
    options = {"devices": [str(tmp_path / "acl*")]}
    limits = {"maxConcurrentPerReplica": 4}
    with pipeline_server(tmp_path, pipeline=options, requests=limits) as server:
        client = server.client()
        calls = [future(client) for _ in range(20)]
        devices[-1].unlink()
        assert {call.code() for call in calls} <= {grpc.StatusCode.OK, grpc.StatusCode.INTERNAL}
        server.wait("/livez", 503)
        assert refused(lambda: client.predict(ONE)) == (
            grpc.StatusCode.INTERNAL,
            f"the device is gone: {devices[-1]}",
        )
    devices[-1].touch()
    with pipeline_server(tmp_path, pipeline=options) as server:
        assert server.client().predict(ONE).outputs
        assert server.http("GET", "/livez")[0] == 200
