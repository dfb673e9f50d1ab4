import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from virtual_time import in_virtual_time, now

from berth_scoring.edge.counts import Counts
from berth_scoring.edge.packets import Packet
from berth_scoring.edge.report import ANSWER_SECONDS, LOOK_SECONDS, Reporter

EVERY = 300


@dataclass
class Twin:
    """A hub that answers reports."""

    status: int = 204
    told: list[tuple[float, Any]] = field(default_factory=list)
    reporter: Reporter | None = None

    async def publish(self, topic: str, payload: bytes) -> asyncio.Future[Packet]:
        loop = asyncio.get_running_loop()
        self.told.append((now(), json.loads(payload)["berth"]))
        assert self.reporter is not None
        request = int(topic.rpartition("=")[2])
        if self.status:
            loop.call_later(0.1, self.reporter.settle, request, self.status)
        stored: asyncio.Future[Packet] = loop.create_future()
        stored.set_result(Packet(4, 0, b"\x00\x01"))
        return stored


@dataclass
class Bench:
    state: dict[str, Any] = field(default_factory=lambda: {"health": "ready"})
    counts: Counts = field(default_factory=Counts)
    twin: Twin = field(default_factory=Twin)

    @asynccontextmanager
    async def reporting(self) -> AsyncIterator[Reporter]:
        reporter = self.twin.reporter or Reporter(lambda: dict(self.state), self.counts, EVERY)
        self.twin.reporter = reporter
        task = asyncio.create_task(reporter.run(self.twin))
        yield reporter
        task.cancel()

    @property
    def times(self) -> list[float]:
        return [at for at, _ in self.twin.told]


@in_virtual_time
async def test_a_quiet_module_reports_once() -> None:
    bench = Bench()
    async with bench.reporting():
        await asyncio.sleep(86_400)
    assert [document for _, document in bench.twin.told] == [
        {"health": "ready", "counts": {"received": 0, "answered": 0, "failed": 0, "dropped": 0}}
    ]


@in_virtual_time
async def test_counts_are_reported_now_and_then_however_fast_they_grow() -> None:
    bench = Bench()
    async with bench.reporting():
        for _ in range(3600):
            bench.counts.received += 300
            await asyncio.sleep(1)
    assert len(bench.times) == 12
    assert all(later - earlier >= EVERY for earlier, later in zip(bench.times, bench.times[1:], strict=False))
    assert bench.counts.reports == 12


@in_virtual_time
async def test_a_change_of_health_is_reported_soon_but_not_at_any_rate() -> None:
    bench = Bench()
    async with bench.reporting():
        await asyncio.sleep(100)
        bench.state["health"] = "stuck"
        await asyncio.sleep(100)
        assert bench.times[1] - 100 <= LOOK_SECONDS
        before = len(bench.times)
        for number in range(100):
            bench.state["health"] = str(number)
            await asyncio.sleep(1)
    assert len(bench.times) - before <= 100 / LOOK_SECONDS + 1


@pytest.mark.parametrize("status", [0, 400, 429])
def test_a_report_that_was_not_taken_is_made_again(status: int) -> None:
    @in_virtual_time
    async def test() -> None:
        bench = Bench(twin=Twin(status))
        async with bench.reporting():
            await asyncio.sleep(10 * EVERY)
            attempts = len(bench.times)
            assert 8 <= attempts <= 11
            bench.twin.status = 204
            await asyncio.sleep(10 * EVERY)
        assert len(bench.times) == attempts + 1

    test()


@in_virtual_time
async def test_another_connection_does_not_report_the_same_again() -> None:
    bench = Bench()
    for _ in range(10):
        async with bench.reporting():
            await asyncio.sleep(ANSWER_SECONDS)
    assert len(bench.times) == 1


@in_virtual_time
async def test_only_the_first_answer_to_the_report_itself_counts() -> None:
    bench = Bench(twin=Twin(0))
    async with bench.reporting() as reporter:
        await asyncio.sleep(1)
        reporter.settle(99, 400)
        reporter.settle(1, 204)
        reporter.settle(1, 400)
        await asyncio.sleep(10 * EVERY)
    assert len(bench.times) == 1
