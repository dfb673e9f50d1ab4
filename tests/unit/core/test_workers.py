import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import pytest
from virtual_time import in_virtual_time, now

from berth.api.conditions import Reason
from berth.core.backoff import Backoff
from berth.core.errors import Conflict, Gone, Postponed, Terminal, Transient
from berth.core.observer import Observer
from berth.core.queue import WorkQueue
from berth.core.results import Done, RequeueAfter, Result
from berth.core.workers import Workers

Reconcile = Callable[[str], Awaitable[Result]]


class Outcomes(Observer):
    def __init__(self) -> None:
        self.outcomes: list[str] = []
        self.retries = 0

    def reconciled(self, outcome: str, seconds: float) -> None:
        self.outcomes.append(outcome)

    def retried(self) -> None:
        self.retries += 1


class Pool:
    """Workers over a script of results, and what came of it."""

    def __init__(self, *script: Result | Exception, size: int = 1) -> None:
        self.passes: list[float] = []
        self.reports: list[Exception] = []
        self.outcomes = Outcomes()
        self.queue: WorkQueue[str] = WorkQueue()
        self._script = list(script)
        self.workers = Workers(
            self.queue,
            self.reconcile,
            self.report,
            size=size,
            backoff=Backoff(base=1, cap=60, rand=lambda: 0.0),
            observer=self.outcomes,
        )

    async def reconcile(self, _: str) -> Result:
        self.passes.append(now())
        result = self._script.pop(0) if self._script else Done()
        if isinstance(result, Exception):
            raise result
        return result

    async def report(self, _: str, error: Exception) -> None:
        self.reports.append(error)

    async def run_for(self, seconds: float) -> None:
        """Reconcile "a" and whatever follows from it."""
        self.queue.add("a")
        running = asyncio.create_task(self.workers.run())
        await asyncio.sleep(seconds)
        await self.workers.stop(grace=0)
        await running


@in_virtual_time
async def test_done_means_nothing_until_something_changes() -> None:
    pool = Pool(Done())
    await pool.run_for(1000)
    assert pool.passes == [0]
    assert pool.outcomes.outcomes == ["success"]


@in_virtual_time
async def test_a_pass_can_ask_for_the_next_one() -> None:
    pool = Pool(RequeueAfter(30))
    await pool.run_for(1000)
    assert pool.passes == [0, 30]
    assert pool.outcomes.outcomes == ["requeue_after", "success"]
    assert pool.outcomes.retries == 0


@pytest.mark.parametrize("error", [Conflict("changed"), Gone("not found")])
@in_virtual_time
async def test_what_only_needs_another_look_is_told_to_no_one(error: Exception) -> None:
    pool = Pool(error)
    await pool.run_for(1000)
    assert pool.passes == [0, 1]
    assert pool.reports == []
    assert pool.outcomes.outcomes == ["requeue", "success"]


@in_virtual_time
async def test_a_conflict_that_lasts_is_told() -> None:
    failures = [Conflict(f"changed {n}") for n in range(8)]
    pool = Pool(*failures)
    await pool.run_for(1000)
    assert pool.reports == failures[6:]
    assert pool.outcomes.outcomes == ["requeue"] * 6 + ["error"] * 2 + ["success"]


@in_virtual_time
async def test_a_transient_failure_is_told_and_tried_again_ever_more_slowly() -> None:
    failures = [Transient(f"down {n}") for n in range(3)]
    pool = Pool(*failures)
    await pool.run_for(1000)
    assert pool.passes == [0, 1, 3, 7]
    assert pool.reports == failures
    assert pool.outcomes.retries == 3


@in_virtual_time
async def test_the_servers_wish_to_wait_is_respected() -> None:
    pool = Pool(Transient("too many requests", retry_after=45))
    await pool.run_for(1000)
    assert pool.passes == [0, 45]


@in_virtual_time
async def test_the_servers_wish_does_not_shorten_the_back_off() -> None:
    pool = Pool(*[Transient("too many requests", retry_after=2)] * 3)
    await pool.run_for(1000)
    assert pool.passes == [0, 2, 4, 8]


@in_virtual_time
async def test_a_terminal_failure_is_told_and_waits_for_a_change() -> None:
    failure = Terminal(Reason.REJECTED, "spec.replicas: must be positive")
    pool = Pool(failure)
    await pool.run_for(1000)
    assert pool.passes == [0]
    assert pool.reports == [failure]
    assert pool.outcomes.outcomes == ["error"]


@in_virtual_time
async def test_a_terminal_failure_can_ask_for_another_look() -> None:
    failures = [Terminal(Reason.QUOTA_EXCEEDED, "exceeded quota", retry_after=60)] * 2
    pool = Pool(*failures)
    await pool.run_for(1000)
    assert pool.passes == [0, 60, 120]
    assert pool.reports == failures
    assert pool.outcomes.retries == 0


@in_virtual_time
async def test_who_has_to_wait_for_its_turn_comes_again_and_nothing_is_told() -> None:
    pool = Pool(*[Postponed("as many calls run as may at once", 4)] * 20)
    await pool.run_for(1000)
    assert pool.passes == [4 * turn for turn in range(21)]
    assert pool.reports == []
    assert set(pool.outcomes.outcomes[:20]) == {"requeue_after"}
    assert pool.outcomes.retries == 0


@in_virtual_time
async def test_success_resets_the_back_off() -> None:
    pool = Pool(Transient("down"), Transient("down"), RequeueAfter(10), Transient("down"))
    await pool.run_for(1000)
    assert pool.passes == [0, 1, 3, 13, 14]


@in_virtual_time
async def test_a_mistake_in_the_code_stops_neither_the_worker_nor_the_key(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pool = Pool(ZeroDivisionError())
    await pool.run_for(1000)
    assert pool.passes == [0, 1]
    assert [type(error) for error in pool.reports] == [ZeroDivisionError]
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert record.exc_info


@in_virtual_time
async def test_a_pass_and_its_report_happen_within_what_tells_of_the_key() -> None:
    told: list[str] = []
    queue: WorkQueue[str] = WorkQueue()

    @contextmanager
    def about(key: str) -> Iterator[None]:
        told.append(f"about {key}")
        yield
        told.append(f"end of {key}")

    async def reconcile(key: str) -> Result:
        told.append("pass")
        raise Transient("down")

    async def report(_: str, error: Exception) -> None:
        told.append("report")

    workers = Workers(queue, reconcile, report, size=1, about=about)
    queue.add("a")
    running = asyncio.create_task(workers.run())
    await asyncio.sleep(0.01)
    await workers.stop(grace=1)
    await running
    assert told[:4] == ["about a", "pass", "report", "end of a"]


@in_virtual_time
async def test_a_failure_that_cannot_be_reported_is_still_tried_again(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_: str, __: Exception) -> None:
        raise Conflict

    pool = Pool(Transient("down"))
    monkeypatch.setattr(pool.workers, "_report", fail)
    await pool.run_for(1000)
    assert pool.passes == [0, 1]
    assert "could not be reported" in caplog.text


@in_virtual_time
async def test_as_many_keys_as_there_are_workers_run_at_once() -> None:
    running = peak = 0
    queue: WorkQueue[int] = WorkQueue()

    async def reconcile(_: int) -> Result:
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        await asyncio.sleep(1)
        running -= 1
        return Done()

    async def report(_: int, error: Exception) -> None:
        raise error

    workers = Workers(queue, reconcile, report, size=3)
    for number in range(9):
        queue.add(number)
    task = asyncio.create_task(workers.run())
    await asyncio.sleep(2.5)
    assert (peak, queue.depth) == (3, 0)
    await workers.stop(grace=5)
    await task


async def slow_pool(seconds: float) -> tuple[Workers[str], asyncio.Task[None], list[str]]:
    """One worker that is in a pass of so many seconds, and what it finished."""
    queue: WorkQueue[str] = WorkQueue()
    finished: list[str] = []

    async def reconcile(key: str) -> Result:
        await asyncio.sleep(seconds)
        finished.append(key)
        return Done()

    async def report(_: str, error: Exception) -> None:
        raise error

    workers = Workers(queue, reconcile, report, size=1)
    queue.add("running")
    queue.add("waiting")
    task = asyncio.create_task(workers.run())
    await asyncio.sleep(1)
    return workers, task, finished


@in_virtual_time
async def test_stop_lets_the_running_pass_end_and_takes_no_new_key() -> None:
    workers, task, finished = await slow_pool(5)
    await workers.stop(grace=20)
    await task
    assert now() == 5
    assert finished == ["running"]


@in_virtual_time
async def test_a_pass_that_outlasts_the_grace_is_cancelled(caplog: pytest.LogCaptureFixture) -> None:
    workers, task, finished = await slow_pool(500)
    await workers.stop(grace=20)
    await task
    assert now() == 21
    assert finished == []
    assert "still ran" in caplog.text


@in_virtual_time
async def test_nothing_is_taken_before_the_start() -> None:
    pool = Pool(Done())
    start = asyncio.Event()
    pool.queue.add("a")
    running = asyncio.create_task(pool.workers.run(start))
    await asyncio.sleep(60)
    assert (pool.passes, pool.queue.depth, pool.queue.longest_running) == ([], 1, 0)
    start.set()
    await asyncio.sleep(1)
    assert pool.passes == [60]
    await pool.workers.stop(grace=0)
    await running


@in_virtual_time
async def test_workers_that_never_started_stop_at_once() -> None:
    pool = Pool()
    running = asyncio.create_task(pool.workers.run(asyncio.Event()))
    await asyncio.sleep(1)
    await pool.workers.stop(grace=20)
    await running
    assert now() == 1
