"""What messages of an edge hub cost our server of its requests: with and without them, in turns, in one run.

The server on one core; hub and client on another one, where the hub yields to the client: a server that waits
for requests takes more of its core for each. The script does nothing: what is measured is the way.
The turns are short, since a shared machine is slower in one second than in the next.
"""

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from edge_world import own_address
from scoring_servers import berth_server
from wrk_load import requests_per_second

LOAD = Path(__file__).parents[2] / "support/edge_load.py"
SCRIPT = "def init(): ...\n\ndef run(data): return 1\n"
BODY = json.dumps({"data": [[5.1, 3.5, 1.4, 0.2]]})
RATE = 300
SECONDS = 48
PAIRS_AT_LEAST = 60
TURN_SECONDS = 0.25
SETTLE_SECONDS = 0.02
MOST_LOST = 0.10


@dataclass
class Device:
    """The hub, as a process that sends what it is told to."""

    process: "subprocess.Popen[str]"
    environment: dict[str, str]

    def send(self, rate: int) -> Any:
        """Send so many messages per second from now on; returns what was sent and answered before."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(rate, file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())


@dataclass(frozen=True)
class Turn:
    """What the server did in one turn, and what it took of its core."""

    requests: float
    cpu_seconds: float
    messages: int
    seconds: float


@dataclass(frozen=True)
class Pair:
    """A turn without messages and the one next to it with them."""

    alone: Turn
    beside: Turn

    @property
    def requests_per_message(self) -> float:
        """How many requests the server could answer with the CPU time that a message takes."""
        per_request = self.alone.cpu_seconds / self.alone.requests
        return (self.beside.cpu_seconds / per_request - self.beside.requests) / self.beside.messages


@dataclass(frozen=True)
class Result:
    """All turns, and how many messages were sent and answered."""

    pairs: list[Pair]
    sent: int
    back: int

    @property
    def lost(self) -> float:
        """The part that messages take of the requests in the turn that other work disturbed least."""
        most = max(pair.alone.requests / pair.alone.seconds for pair in self.pairs)
        return RATE * median(pair.requests_per_message for pair in self.pairs) / most

    def table(self) -> str:
        heading = f"{f'{RATE} messages/s':<28}{'alone':>10}{'beside':>10}{'lost':>8}{'most':>8}"
        alone = median(pair.alone.requests / pair.alone.seconds for pair in self.pairs)
        beside = median(pair.beside.requests / pair.beside.seconds for pair in self.pairs)
        return "\n".join(
            [
                "",
                heading,
                f"{'of the requests':<28}{'':>20}{self.lost:>8.1%}{MOST_LOST:>8.0%}",
                f"{'requests/s':<28}{alone:>10.0f}{beside:>10.0f}{1 - beside / alone:>8.1%}",
            ]
        )


@contextmanager
def device(folder: Path, core: str) -> Iterator[Device]:
    prefix = ("nice", "-n", "19", "taskset", "-c", core)
    command = [*prefix, sys.executable, str(LOAD), own_address(), str(folder)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        yield Device(process, json.loads(process.stdout.readline()))


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Result:
    available = sorted(os.sched_getaffinity(0))
    assert shutil.which("wrk"), "wrk is missing: apt-get install wrk"
    if len(available) < 2:
        pytest.skip("needs two cores")
    ours, others = str(available[0]), str(available[1])
    folder = tmp_path_factory.mktemp("edge")
    (folder / "code").mkdir()
    (folder / "code/score.py").write_text(SCRIPT)
    config = {"code": {"uri": f"file://{folder / 'code'}"}, "edge": {}}
    with (
        device(folder, others) as hub,
        berth_server(config, folder, variables=hub.environment, prefix=("taskset", "-c", ours)) as port,
        ThreadPoolExecutor(1) as pool,
    ):
        asking = pool.submit(
            requests_per_second, port, "/score", BODY, core=others, seconds=SECONDS, work=folder
        )
        pairs = list(pairs_of_turns(hub, port, asking))
        totals = hub.send(0)
        asking.result()
    found = Result(pairs, totals["sent"], totals["back"])
    with pytestconfig.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(found.table())
    return found


def pairs_of_turns(hub: Device, port: int, asking: "Future[float]") -> Iterator[Pair]:
    """Watch turns for as long as requests come; each kind goes first as often as the other."""
    time.sleep(1)  # the client connects
    while True:
        found = [turn(hub, port, rate) for rate in (0, RATE, RATE, 0)]
        if asking.done():
            return
        yield Pair(found[0], found[1])
        yield Pair(found[3], found[2])


def turn(hub: Device, port: int, rate: int) -> Turn:
    hub.send(rate)
    time.sleep(SETTLE_SECONDS)  # the messages of the turn before are answered
    before, started = work_done(port), time.monotonic()
    messages = hub.send(rate)["back"]
    time.sleep(TURN_SECONDS)
    after, seconds = work_done(port), time.monotonic() - started
    messages = hub.send(rate)["back"] - messages
    return Turn(after["requests"] - before["requests"], after["cpu"] - before["cpu"], messages, seconds)


def work_done(port: int) -> dict[str, float]:
    """Return the requests to `/score` that were answered, and the CPU seconds, so far."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        samples = [line.rsplit(" ", 1) for line in answer.read().decode().splitlines()]
    values = {name: float(value) for name, value in samples if not name.startswith("#")}
    answered = 'berth_scoring_requests_total{code="200",route="/score"}'
    return {"requests": values[answered], "cpu": values["process_cpu_seconds_total"]}


def test_messages_take_at_most_a_tenth_of_the_requests(result: Result) -> None:
    assert len(result.pairs) >= PAIRS_AT_LEAST
    assert result.lost <= MOST_LOST


def test_all_messages_were_answered_meanwhile(result: Result) -> None:
    assert result.sent >= 0.9 * RATE * TURN_SECONDS * len(result.pairs)
    assert result.back >= 0.95 * result.sent
