"""Servers are timed on a machine that has come to rest: what ran before leaves work behind."""

import os
import time
from pathlib import Path

import pytest

REST = 0.95
"""The part of all cores that must be idle."""
PATIENCE_SECONDS = 60


@pytest.fixture(scope="module", autouse=True)
def rest() -> None:
    os.sync()
    end = time.monotonic() + PATIENCE_SECONDS
    while idle_part(seconds=1) < REST and time.monotonic() < end:
        pass


def idle_part(seconds: float) -> float:
    """Return the part of their time that the cores have nothing to do, or wait for a disk."""
    idle, every = cpu_times()
    time.sleep(seconds)
    later_idle, later_every = cpu_times()
    return (later_idle - idle) / (later_every - every)


def cpu_times() -> tuple[int, int]:
    """Return the ticks of all cores so far: those without work, and all."""
    ticks = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return ticks[3] + ticks[4], sum(ticks)
