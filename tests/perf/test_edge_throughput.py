"""What messages of an edge hub cost our server of its requests: rounds with and without them, in one run.

The server on one core; hub and client on another one. The script does nothing: what is measured is the way.
"""

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from edge_world import own_address
from scoring_servers import berth_server
from wrk_load import requests_per_second

LOAD = Path(__file__).parents[1] / "support/edge_load.py"
SCRIPT = "def init(): ...\n\ndef run(data): return 1\n"
BODY = json.dumps({"data": [[5.1, 3.5, 1.4, 0.2]]})
RATE = 300
ROUNDS = 20
SECONDS = 1
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
class Round:
    """What the server did in one round, and what it took of its core."""

    requests: float
    cpu_seconds: float
    messages: int = 0


@dataclass(frozen=True)
class Pair:
    """A round without messages and the one after it with them."""

    alone: Round
    beside: Round

    @property
    def seconds_per_message(self) -> float:
        """The CPU time that requests do not account for."""
        requests = self.beside.requests * self.alone.cpu_seconds / self.alone.requests
        return (self.beside.cpu_seconds - requests) / self.beside.messages


@dataclass(frozen=True)
class Result:
    """All rounds, and how many messages were sent and answered."""

    pairs: list[Pair]
    sent: int
    back: int

    @property
    def lost(self) -> float:
        """The part of a core, and so of the requests that it could answer, that messages take.

        Other work on the machine takes from the core too, but not from this.
        """
        return RATE * median(pair.seconds_per_message for pair in self.pairs)

    def table(self) -> str:
        heading = f"{f'{RATE} messages/s':<28}{'alone':>10}{'beside':>10}{'lost':>8}{'most':>8}"
        alone = max(pair.alone.requests for pair in self.pairs) / SECONDS
        beside = max(pair.beside.requests for pair in self.pairs) / SECONDS
        return "\n".join(
            [
                "",
                heading,
                f"{'of a core':<28}{'':>20}{self.lost:>8.1%}{MOST_LOST:>8.0%}",
                f"{'requests/s, best rounds':<28}{alone:>10.0f}{beside:>10.0f}{1 - beside / alone:>8.1%}",
            ]
        )


@contextmanager
def device(folder: Path, core: str) -> Iterator[Device]:
    command = ["taskset", "-c", core, sys.executable, str(LOAD), own_address(), str(folder)]
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
    ):
        pairs = [
            Pair(ask(hub, port, others, folder, rate=0), ask(hub, port, others, folder, rate=RATE))
            for _ in range(ROUNDS)
        ]
        totals = hub.send(0)
    found = Result(pairs, totals["sent"], totals["back"])
    with pytestconfig.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(found.table())
    return found


def ask(hub: Device, port: int, core: str, work: Path, *, rate: int) -> Round:
    messages, cpu = hub.send(rate)["back"], cpu_seconds(port)
    per_second = requests_per_second(port, "/score", BODY, core=core, seconds=SECONDS, work=work)
    cpu, messages = cpu_seconds(port) - cpu, hub.send(0)["back"] - messages
    return Round(per_second * SECONDS, cpu, messages)


def cpu_seconds(port: int) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    (value,) = [each.split()[1] for each in lines if each.startswith("process_cpu_seconds_total ")]
    return float(value)


def test_messages_take_at_most_a_tenth_of_the_requests(result: Result) -> None:
    assert result.lost <= MOST_LOST


def test_all_messages_were_answered_meanwhile(result: Result) -> None:
    assert result.sent >= 0.9 * RATE * SECONDS * ROUNDS
    assert result.back >= 0.95 * result.sent
