"""Requests per second of our server with and without messages of an edge hub beside them, in one run.

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
    """What the server did for its clients over HTTP in one round."""

    per_second: float
    per_cpu_second: float
    """What it would do with a core of its own: other work on the machine does not change it much."""


@dataclass(frozen=True)
class Result:
    """All rounds without and with messages, and how many of those were sent and answered."""

    alone: list[Round]
    beside: list[Round]
    sent: int
    back: int

    @property
    def lost(self) -> float:
        """The part of the requests that messages cost."""
        return 1 - median(of_cpu(self.beside)) / median(of_cpu(self.alone))

    def table(self) -> str:
        heading = f"{f'{RATE} messages/s':<28}{'alone':>10}{'beside':>10}{'lost':>8}{'most':>8}"
        rows = [
            line("requests/CPU s, median", median(of_cpu(self.alone)), median(of_cpu(self.beside))),
            line("requests/s, best", best(self.alone), best(self.beside)),
        ]
        return "\n".join(["", heading, *rows])


def of_cpu(rounds: list[Round]) -> list[float]:
    return [each.per_cpu_second for each in rounds]


def best(rounds: list[Round]) -> float:
    return max(each.per_second for each in rounds)


def line(name: str, alone: float, beside: float) -> str:
    return f"{name:<28}{alone:>10.0f}{beside:>10.0f}{1 - beside / alone:>8.1%}{MOST_LOST:>8.0%}"


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
    rounds: dict[int, list[Round]] = {0: [], RATE: []}
    sent = back = 0
    with (
        device(folder, others) as hub,
        berth_server(config, folder, variables=hub.environment, prefix=("taskset", "-c", ours)) as port,
    ):
        for _ in range(ROUNDS):
            for rate, measured in rounds.items():
                before = hub.send(rate)
                measured.append(ask(port, others, folder))
                after = hub.send(0)
                sent += after["sent"] - before["sent"]
                back += after["back"] - before["back"]
    found = Result(rounds[0], rounds[RATE], sent, back)
    with pytestconfig.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(found.table())
    return found


def ask(port: int, core: str, work: Path) -> Round:
    before = cpu_seconds(port)
    rate = requests_per_second(port, "/score", BODY, core=core, seconds=SECONDS, work=work)
    return Round(rate, rate * SECONDS / (cpu_seconds(port) - before))


def cpu_seconds(port: int) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    (value,) = [each.split()[1] for each in lines if each.startswith("process_cpu_seconds_total ")]
    return float(value)


def test_messages_take_at_most_a_tenth_of_the_requests(result: Result) -> None:
    assert result.lost <= MOST_LOST


def test_all_messages_were_answered_meanwhile(result: Result) -> None:
    assert result.sent >= 0.9 * RATE * SECONDS * ROUNDS
    assert result.back >= result.sent - RATE * 0.1 * ROUNDS
