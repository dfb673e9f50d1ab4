"""Calls per second of a gRPC server on loopback, asked by `h2load` from one core."""

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from http2_calls import framed

TICKS = os.sysconf("SC_CLK_TCK")
CONNECTIONS = 8


@dataclass(frozen=True)
class Load:
    """What a server answered in one round, and the CPU time that it took for it."""

    calls: int
    seconds: float
    cpu_seconds: float

    @property
    def per_second(self) -> float:
        return self.calls / self.seconds

    @property
    def per_cpu_second(self) -> float:
        return self.calls / self.cpu_seconds


def two_cores() -> tuple[str, str]:
    """Return one core for the server and another one for the client."""
    available = sorted(os.sched_getaffinity(0))
    if len(available) < 2:
        pytest.skip("needs two cores")
    return str(available[0]), str(available[1])


def cpu_seconds(process: int) -> float:
    """Return the CPU time of all threads of a process."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def grpc_load(
    process: int, port: int, method: str, message: bytes, *, core: str, seconds: int, work: Path
) -> Load:
    """Call over 8 connections, one call at a time on each; every call must be answered.

    A status of gRPC comes after the answer, where h2load does not look: who calls makes sure that it is good.
    """
    body = work / f"{port}.body"
    body.write_bytes(framed(message))
    headers = ["-H", "content-type: application/grpc", "-H", "te: trailers"]
    shape = [f"-c{CONNECTIONS}", "-m1", "-t1", f"-D{seconds}", f"-d{body}"]
    command = ["taskset", "-c", core, "h2load", *shape, *headers, f"http://127.0.0.1:{port}{method}"]
    before = cpu_seconds(process)
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    spent = cpu_seconds(process) - before
    match = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", output)
    assert match, output
    assert match.groups()[1:] == ("0", "0", "0"), output
    return Load(int(match[1]), seconds, spent)
