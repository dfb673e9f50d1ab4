"""The access log, when nobody reads it."""

import asyncio
import os
import time
from collections.abc import Iterator

import pytest

from berth_scoring import access_log
from berth_scoring.access_log import AccessLog


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    os.close(writer)


def record(log: AccessLog, count: int) -> None:
    for _ in range(count):
        log.record("GET", "/", 200, 0.001, "id")


async def test_lines_that_nobody_can_read_any_more_are_dropped_and_counted(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    log = AccessLog(writer)
    os.close(reader)
    for _ in range(2):
        record(log, 3)
        log.flush()
        await asyncio.sleep(0.05)
    log.close()
    assert log.dropped == 6


async def test_a_reader_that_does_not_read_keeps_neither_the_server_nor_its_end(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access_log, "MAX_CHUNKS", 2)
    reader, writer = pipe
    log = AccessLog(writer)
    for _ in range(10):
        record(log, 1000)
        log.flush()
    started = time.monotonic()
    log.close()
    assert time.monotonic() - started < 3
    assert log.dropped >= 6000
    os.close(reader)
