"""Calls per second of a pipeline over gRPC beside a server written with KServe's SDK, in one run.

One core for the server and another one for the client; 8 connections, one call at a time on each. The same
graphs, which take next to no time, behind both: what is measured is the way of a call through the server.
"""

import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import grpc
import numpy as np
import pytest
from fpga_pipelines import (
    CHANNEL_OPTIONS,
    SERVICE,
    PipelineServer,
    classifier_graph,
    corner_graph,
    floats,
    pipeline_server,
)
from grpc_load import Load, grpc_load, two_cores
from scoring_servers import free_port, peer_python, plain_environment, running

from berth_scoring.fpga.wire import prediction_service_pb2 as serving
from berth_scoring.fpga.wire import tensor_pb2 as wire

PEER = Path(__file__).parents[2] / "peers/kserve"
PEER_METHOD = "/inference.GRPCInferenceService/ModelInfer"
SHAPE = (1, 224, 224, 3)
ROUNDS = 8
SECONDS = 1
LEAST_CALLS = 3000
"""Calls of a small message: in a second, and in a second of CPU time."""
LEAST_RATIO = {"one value": 1.2, "array of 602 KB": 1.2}


@dataclass(frozen=True)
class Target:
    """One server, and the calls that it gets."""

    process: int
    port: int
    method: str
    messages: Mapping[str, bytes]

    def answer(self, kind: str) -> bytes:
        channel = grpc.insecure_channel(f"localhost:{self.port}", CHANNEL_OPTIONS)
        with channel:
            answer: bytes = channel.unary_unary(self.method)(self.messages[kind], timeout=20)
        return answer


@dataclass(frozen=True)
class Result:
    """All rounds of both servers with one kind of call."""

    kind: str
    ours: list[Load]
    peer: list[Load]

    @property
    def calls_per_cpu_second(self) -> float:
        """Those of the best round, which other work on the machine disturbed least."""
        return max(load.per_cpu_second for load in self.ours)

    @property
    def calls_per_second(self) -> float:
        """Those of the best round, too."""
        return max(load.per_second for load in self.ours)

    @property
    def ratio(self) -> float:
        """How many calls ours answers in the CPU time that one takes the peer."""
        return median(
            ours.per_cpu_second / peer.per_cpu_second for ours, peer in zip(self.ours, self.peer, strict=True)
        )

    def lines(self) -> Iterator[str]:
        for unit, value in (("s", Load.per_second), ("CPU second", Load.per_cpu_second)):
            ours, peer = (max(map(value.__get__, loads)) for loads in (self.ours, self.peer))
            yield f"{f'{self.kind}, calls/{unit}':<34}{ours:>10.0f}{peer:>10.0f}"
        yield f"{'':<34}{'':>20}{self.ratio:>8.1f}{LEAST_RATIO[self.kind]:>8g}"


HEADING = f"\n{'best rounds, one core':<34}{'ours':>10}{'KServe':>10}{'ratio':>8}{'least':>8}"


def one_value() -> serving.PredictRequest:
    shape = wire.TensorShapeProto(dim=[wire.TensorShapeProto.Dim(size=length) for length in SHAPE])
    images = wire.TensorProto(dtype=wire.DT_FLOAT, tensor_shape=shape, float_val=[7.0])
    return serving.PredictRequest(inputs={"images": images})


def ours(server: PipelineServer) -> Target:
    array = serving.PredictRequest(inputs={"images": floats(np.full(SHAPE, 7, np.float32))})
    messages = {"one value": one_value().SerializeToString(), "array of 602 KB": array.SerializeToString()}
    return Target(server.process.pid, server.port, f"{SERVICE}/Predict", messages)


@contextmanager
def kserve(work: Path, core: str) -> Iterator[Target]:
    (work / "featurizer.onnx").write_bytes(corner_graph())
    (work / "classifier.onnx").write_bytes(classifier_graph())
    graphs = [str(work / "featurizer.onnx"), str(work / "classifier.onnx")]
    http_port, port = free_port(), free_port()
    arguments = [*graphs, str(http_port), str(port), str(work)]
    command = ["taskset", "-c", core, str(peer_python(PEER)), str(PEER / "serve.py"), *arguments]
    log = work / "kserve.log"
    with running(command, plain_environment(), log, http_port, "/v2/health/ready") as process:
        messages = {
            "one value": (work / "value").read_bytes(),
            "array of 602 KB": (work / "array").read_bytes(),
        }
        yield Target(process.pid, port, PEER_METHOD, messages)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> dict[str, Result]:
    """Measure both in turn, round by round, so that a busy moment of the machine falls on both alike."""
    assert shutil.which("h2load"), "h2load is missing: apt-get install nghttp2-client"
    server_core, client_core = two_cores()
    work = tmp_path_factory.mktemp("kserve")
    graphs: dict[str, Any] = {"weights": corner_graph(), "classifier": classifier_graph()}
    pinned = ("taskset", "-c", server_core)
    with (
        pipeline_server(tmp_path_factory.mktemp("ours"), prefix=pinned, **graphs) as server,
        kserve(work, server_core) as peer,
    ):
        targets = (ours(server), peer)
        found = {kind: Result(kind, [], []) for kind in LEAST_RATIO}
        for result in found.values():
            scores = [answered(target, result.kind) for target in targets]
            for _ in range(ROUNDS):
                for target, loads in zip(targets, (result.ours, result.peer), strict=True):
                    loads.append(load(target, result.kind, client_core, work))
            assert [answered(target, result.kind) for target in targets] == scores
        # Those that were under way when the load ended are cancelled.
        assert codes(server) <= {"OK", "CANCELLED"}
    with pytestconfig.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print("\n".join([HEADING, *(line for result in found.values() for line in result.lines())]))
    return found


def load(target: Target, kind: str, core: str, work: Path) -> Load:
    return grpc_load(
        target.process,
        target.port,
        target.method,
        target.messages[kind],
        core=core,
        seconds=SECONDS,
        work=work,
    )


def answered(target: Target, kind: str) -> int:
    """Return the length of an answer, which must hold the scores of three equal colours."""
    answer = target.answer(kind)
    assert np.full(3, 1 / 3, np.float32).tobytes() in answer
    return len(answer)


def codes(server: PipelineServer) -> set[str]:
    metrics = server.http("GET", "/metrics")[2].decode()
    return set(re.findall(r'^berth_scoring_grpc_requests_total\{code="(\w+)"', metrics, re.MULTILINE))


def test_a_small_call_takes_a_three_thousandth_of_a_core(results: dict[str, Result]) -> None:
    assert results["one value"].calls_per_cpu_second >= LEAST_CALLS


def test_so_many_small_calls_are_answered_in_a_second(results: dict[str, Result]) -> None:
    assert results["one value"].calls_per_second >= LEAST_CALLS


@pytest.mark.parametrize("kind", list(LEAST_RATIO))
def test_calls_take_less_than_with_kserve(results: dict[str, Result], kind: str) -> None:
    assert results[kind].ratio >= LEAST_RATIO[kind]
