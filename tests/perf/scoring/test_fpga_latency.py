"""What our server adds to a bare run of ONNX Runtime: one image, one core for both, in one run.

The bare run is in a process of its own, which is asked over a pipe: a graph of the shape of ResNet50, with
the options of our server. Between two of its runs the server gets a call on the same core, with a graph that
takes next to no time: it finds the caches as a run of its own would have left them, and other work on the
machine has little time to get in. What it adds is the time that a client waits, less the stages, of which the
server's metrics tell, and less what it takes to ask a bare process. A client's library has no part in it.
Other work on the machine can only add to that: of a few rounds the one with the least tells of the server.
"""

import io
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest
from fpga_pipelines import (
    SERVICE,
    GrpcClient,
    PipelineServer,
    classifier_graph,
    corner_graph,
    jpeg,
    pipeline_server,
    resnet50_graph,
    strings,
)
from grpc_load import two_cores
from http2_calls import Http2Connection
from PIL import Image

from berth_scoring.fpga.wire import prediction_service_pb2 as serving

BARE = Path(__file__).parents[2] / "support/bare_session.py"
ONE = serving.PredictRequest(inputs={"images": strings(jpeg(size=(224, 224)))}).SerializeToString()
ROUNDS = 8
CALLS = 100
UNDISTURBED = 30
RUNS = 20
MOST = {"p50": 0.001, "p99": 0.003}
SLOWER_RUN = 1.1
LARGEST_JPEG = 10 * 1024 * 1024
PROBED_SECONDS = 4


@dataclass(frozen=True)
class Wait:
    """The seconds that the way took, and those that threads waited for their core."""

    seconds: float
    delayed: float


def undisturbed(waits: Sequence[Wait]) -> list[float]:
    """Return those that waited least for a core: the others tell of the machine, not of the server."""
    ordered = sorted(waits, key=lambda wait: wait.delayed)
    return [wait.seconds for wait in ordered[:UNDISTURBED]]


@dataclass(frozen=True)
class Round:
    """Calls of the server, and of the bare process."""

    calls: list[Wait]
    asked: list[Wait]

    def added(self, percentile: int) -> float:
        calls, asked = undisturbed(self.calls), undisturbed(self.asked)
        return float(np.percentile(calls, percentile)) - median(asked)


@dataclass(frozen=True)
class Result:
    """What was measured."""

    rounds: list[Round]
    within: list[float]
    alone: list[float]

    def added(self, percentile: int) -> float:
        return min(each.added(percentile) for each in self.rounds)

    @property
    def slower_run(self) -> float:
        """How much longer than alone a run takes within the server."""
        return median(within / alone for within, alone in zip(self.within, self.alone, strict=True))

    def table(self) -> str:
        runs = [median(each) * 1000 for each in (self.within, self.alone)]
        ratio = f"{self.slower_run:>8.2f}{SLOWER_RUN:>8g}"
        return "\n".join(
            [
                f"\n{'milliseconds':<34}{'ours':>10}{'bare':>10}{'ratio':>8}{'most':>8}",
                f"{'a run of ResNet50':<34}{runs[0]:>10.1f}{runs[1]:>10.1f}{ratio}",
                *(self._line(name) for name in MOST),
            ]
        )

    def _line(self, name: str) -> str:
        percentile = int(name[1:])
        each = " ".join(f"{each.added(percentile) * 1000:.2f}" for each in self.rounds)
        found, most = self.added(percentile) * 1000, MOST[name] * 1000
        return f"{f'added, {name}':<34}{found:>10.2f}{'':>18}{most:>8g}  of {each}"


class BareRun:
    """The graph alone, in a process that waits for its turn."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def run(self) -> float:
        """Return the seconds that a run takes."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(file=self._process.stdin, flush=True)
        return float(self._process.stdout.readline())

    def asked(self) -> Wait:
        """Return what it takes to ask for a run, and to hear of its end."""
        before, started = delays(self._process.pid), time.perf_counter()
        seconds = self.run()
        waited = time.perf_counter() - started
        return Wait(waited - seconds, delays(self._process.pid) - before)


@contextmanager
def bare_run(folder: Path, graph: bytes, core: str) -> Iterator[BareRun]:
    (folder / "bare.onnx").write_bytes(graph)
    images = np.random.default_rng(1).normal(scale=60, size=(1, 3, 224, 224)).astype(np.float32)
    np.save(folder / "images.npy", images)
    command = [sys.executable, str(BARE), str(folder / "bare.onnx"), str(folder / "images.npy")]
    pipe = subprocess.PIPE
    with subprocess.Popen(["taskset", "-c", core, *command], stdin=pipe, stdout=pipe, text=True) as process:
        yield BareRun(process)
        assert process.stdin is not None
        process.stdin.close()


def delays(process: int) -> float:
    """Return the seconds that the threads of a process, and of this one, were ready and had no core."""
    tasks = [task for each in (process, os.getpid()) for task in Path(f"/proc/{each}/task").iterdir()]
    waited = 0
    for task in tasks:
        with suppress(FileNotFoundError, ProcessLookupError):  # threads come and go
            waited += int((task / "schedstat").read_text().split()[1])
    return waited / 1e9


class Stages:
    """The seconds that a server spends in each stage."""

    def __init__(self, server: PipelineServer) -> None:
        self.server = server
        self._before = self._read()

    def spent(self) -> dict[str, float]:
        """Return those since the last look, which is long enough ago to have left the caches."""
        before, self._before = self._before, self._read()
        return {name: seconds - before[name] for name, seconds in self._before.items()}

    def _read(self) -> dict[str, float]:
        url = f"http://127.0.0.1:{self.server.http_port}/metrics"
        with urllib.request.urlopen(url, timeout=10) as answer:
            text = answer.read().decode()
        series = r'^berth_scoring_stage_duration_seconds_sum\{stage="(\w+)"\} (\S+)'
        found = re.findall(series, text, re.MULTILINE)
        return {name: float(value) for name, value in found if name != "wait"}


def call(connection: Http2Connection, stages: Stages) -> tuple[Wait, float]:
    """Return what a client waited beside the stages, and how long the featurizer ran."""
    process = stages.server.process.pid
    before, started = delays(process), time.perf_counter()
    assert connection.call(ONE)
    waited = time.perf_counter() - started
    delayed = delays(process) - before
    stage = stages.spent()
    return Wait(waited - sum(stage.values()), delayed), stage["featurizer"]


@contextmanager
def served(folder: Path, graph: bytes, core: str) -> Iterator[tuple[Http2Connection, Stages]]:
    folder.mkdir()
    pinned = ("taskset", "-c", core)
    with (
        pipeline_server(folder, weights=graph, classifier=classifier_graph(), prefix=pinned) as server,
        Http2Connection(server.port, f"{SERVICE}/Predict") as connection,
    ):
        yield connection, Stages(server)


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Result:
    core, _ = two_cores()
    graph = resnet50_graph()
    folder = tmp_path_factory.mktemp("resnet50")
    found = Result([], [], [])
    with bare_run(folder, graph, core) as bare:
        with served(folder / "small", corner_graph(), core) as (connection, stages):
            for _ in range(ROUNDS):
                calls = [(bare.asked(), call(connection, stages)[0]) for _ in range(CALLS)]
                found.rounds.append(Round([ours for _, ours in calls], [asked for asked, _ in calls]))
        with served(folder / "large", graph, core) as (connection, stages):
            for _ in range(RUNS):
                found.alone.append(bare.run())
                found.within.append(call(connection, stages)[1])
    with pytestconfig.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(found.table())
    return found


@pytest.mark.parametrize("percentile", ["p50", "p99"])
def test_the_server_adds_little_to_a_run(result: Result, percentile: str) -> None:
    assert result.added(int(percentile[1:])) <= MOST[percentile]


def test_a_run_within_the_server_takes_as_long_as_alone(result: Result) -> None:
    assert result.slower_run <= SLOWER_RUN


def largest_jpeg() -> bytes:
    """Return an image that takes nearly as many bytes as are taken."""
    noise = np.random.default_rng(1).integers(0, 255, (3600, 3600, 3), np.uint8)
    target = io.BytesIO()
    Image.fromarray(noise).save(target, "JPEG", quality=85)
    data = target.getvalue()
    assert 0.8 * LARGEST_JPEG <= len(data) <= LARGEST_JPEG, len(data)
    return data


def predicted(client: GrpcClient, request: serving.PredictRequest) -> Any:
    """Return what a graph made of an image that has come by gRPC."""
    return client.predict(request).outputs


def posted(server: PipelineServer, image: bytes) -> bytes:
    """Return the answer to an image that has come by way of the event loop."""
    status, _, answer = server.http("POST", "/score", image, **{"Content-Type": "image/jpeg"})
    assert status == 200, answer
    return answer


def lags(server: PipelineServer, decoding: Sequence["Future[Any]"]) -> list[float]:
    """Return how long each look at the server took until the images were answered."""
    found = []
    while not all(each.done() for each in decoding):
        started = time.perf_counter()
        assert server.http("GET", "/livez")[0] == 200
        found.append(time.perf_counter() - started)
        time.sleep(0.01)
    return found


def test_the_event_loop_answers_while_images_are_decoded(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    server_core, _ = two_cores()
    image = largest_jpeg()
    request = serving.PredictRequest(inputs={"images": strings(image)})
    pinned = ("taskset", "-c", server_core)
    with pipeline_server(tmp_path, weights=corner_graph(), prefix=pinned) as server:
        client, stages = server.client(), Stages(server)
        rounds, calls = [], 0
        with ThreadPoolExecutor(2) as pool:
            end = time.monotonic() + PROBED_SECONDS
            while time.monotonic() < end:
                decoding = [pool.submit(predicted, client, request), pool.submit(posted, server, image)]
                rounds.append(lags(server, decoding))
                calls += sum(bool(each.result()) for each in decoding)
        decoded = stages.spent()["preprocess"] / calls
    lag = median(lag for each in rounds for lag in each)
    # An image that held the loop would hold up one look in each round, and end the round.
    longest = median(max(each) for each in rounds)
    with pytestconfig.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(f"\n10 MiB JPEGs, two at once: {decoded * 1000:.0f} ms; /livez meanwhile: {lag * 1000:.1f} ms,")
        print(f"the longest of each round {longest * 1000:.0f} ms")
    assert lag <= decoded / 10
    assert longest <= decoded / 2
