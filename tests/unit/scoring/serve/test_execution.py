import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence

import pytest

from berth_scoring.config import RequestLimits
from berth_scoring.execution import TICK_SECONDS, InlineQueue, Lane, WorkQueue
from berth_scoring.messages import Disconnected, Refusal, never

Background = Callable[[Callable[[], None]], None]


def echo(values: Sequence[object]) -> Sequence[object]:
    return values


@pytest.fixture
async def queue(background: Background) -> AsyncIterator[WorkQueue]:
    queue = WorkQueue(RequestLimits(timeout_milliseconds=150, max_queue_wait_milliseconds=100))
    background(queue.work)
    yield queue
    queue.close()


async def test_answers_return_to_those_who_asked(queue: WorkQueue) -> None:
    lane: Lane[object, object] = Lane(echo)
    assert await asyncio.gather(*[queue.submit(lane, n, never) for n in range(50)]) == list(range(50))


async def test_who_may_not_wait_is_answered_by_an_idle_thread(background: Background) -> None:
    queue = WorkQueue(RequestLimits(max_queue_wait_milliseconds=0))
    background(queue.work)
    lane: Lane[object, object] = Lane(echo)
    for number in range(300):
        assert await queue.submit(lane, number, never) == number
        await asyncio.sleep(TICK_SECONDS / 300)
    queue.close()


async def test_an_error_is_the_answer_of_one_request(queue: WorkQueue) -> None:
    lane = Lane[int, int](lambda values: [ValueError("odd") if value % 2 else value for value in values], 8)
    answers = await asyncio.gather(*[queue.submit(lane, n, never) for n in range(4)], return_exceptions=True)
    assert [type(answer) for answer in answers] == [int, ValueError, int, ValueError]


async def test_what_waits_is_taken_together_up_to_the_limit_and_not_across_lanes(
    background: Background,
) -> None:
    sizes: list[int] = []
    queue = WorkQueue(RequestLimits(), sizes.append)
    wide, narrow = Lane(echo, 4), Lane(echo)
    futures = [queue.submit(lane, None, never) for lane in (wide,) * 6 + (narrow,) * 2 + (wide,)]
    background(queue.work)
    await asyncio.gather(*futures)
    queue.close()
    assert sizes == [4, 2, 1, 1, 1]


async def test_one_thread_answers_in_order_and_one_at_a_time(queue: WorkQueue) -> None:
    busy = threading.Lock()
    order: list[int] = []

    def run(values: Sequence[int]) -> Sequence[int]:
        assert busy.acquire(blocking=False)
        order.extend(values)
        time.sleep(0.001)
        busy.release()
        return values

    lane = Lane(run)
    await asyncio.gather(*[queue.submit(lane, n, never) for n in range(20)])
    assert order == list(range(20))


async def test_who_waits_too_long_is_told_to_try_again(queue: WorkQueue) -> None:
    release = threading.Event()
    blocker = Lane[None, bool](lambda _: [release.wait(5)])
    first = queue.submit(blocker, None, never)
    await asyncio.sleep(0.01)
    with pytest.raises(Refusal, match="no free slot within 100 ms") as caught:
        await queue.submit(Lane(echo), 1, never)
    release.set()
    assert (caught.value.status, caught.value.headers) == (503, [(b"retry-after", b"1")])
    assert await first is True


async def test_a_run_past_its_deadline_is_answered_and_its_late_result_dropped(queue: WorkQueue) -> None:
    slow = Lane[None, float](lambda _: [time.sleep(0.3) or 1.0])
    started = time.monotonic()
    with pytest.raises(Refusal, match="Scoring timeout after 150 ms") as caught:
        await queue.submit(slow, None, never)
    assert caught.value.status == 504
    assert time.monotonic() - started < 0.29
    await asyncio.sleep(0.2)
    assert await queue.submit(Lane(echo), 2, never) == 2


async def test_a_request_whose_client_leaves_while_it_waits_is_not_run(queue: WorkQueue) -> None:
    release, left = threading.Event(), asyncio.Event()
    ran: list[int] = []

    async def disconnect() -> None:
        await left.wait()

    blocked = queue.submit(Lane[None, bool](lambda _: [release.wait(5)]), None, never)
    waiting = queue.submit(
        Lane[int, None](lambda values: [ran.append(value) for value in values]), 1, disconnect
    )
    await asyncio.sleep(0.03)
    left.set()
    with pytest.raises(Disconnected):
        await waiting
    release.set()
    await blocked
    await queue.submit(Lane(echo), 0, never)
    assert ran == []


async def test_more_threads_run_at_the_same_time(background: Background) -> None:
    queue = WorkQueue(RequestLimits(max_concurrent_per_replica=2))
    meeting = threading.Barrier(2, timeout=5)
    lane = Lane[None, int](lambda _: [meeting.wait()])
    for _ in range(2):
        background(queue.work)
    assert sorted(await asyncio.gather(*[queue.submit(lane, None, never) for _ in range(2)])) == [0, 1]
    queue.close()


async def test_the_queue_tells_its_length_and_what_runs(background: Background) -> None:
    queue = WorkQueue(RequestLimits())
    release = threading.Event()
    lane = Lane[None, bool](lambda _: [release.wait(5)])
    futures = [queue.submit(lane, None, never) for _ in range(3)]
    assert (queue.depth, queue.running, queue.stuck) == (3, 0, False)
    background(queue.work)
    await asyncio.sleep(0.05)
    assert (queue.depth, queue.running) == (2, 1)
    release.set()
    await asyncio.gather(*futures)
    queue.close()


async def test_a_run_long_past_its_deadline_makes_the_queue_stuck(
    queue: WorkQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("berth_scoring.execution.STUCK_GRACE_SECONDS", -0.2)
    slow = Lane[None, None](lambda _: [time.sleep(0.4)])
    future = queue.submit(slow, None, never)
    await asyncio.sleep(0.05)
    assert not queue.stuck
    await asyncio.sleep(0.15)
    assert queue.stuck
    with pytest.raises(Refusal):
        await future
    await asyncio.sleep(0.25)
    assert not queue.stuck


class PanicException(BaseException):
    """As extensions in Rust raise it."""


ENDINGS = [PanicException(), asyncio.CancelledError(), SystemExit(), StopIteration(), KeyboardInterrupt()]


def broken(error: BaseException) -> Lane[None, None]:
    def run(_: Sequence[None]) -> Sequence[None]:
        raise error

    return Lane(run)


@pytest.mark.parametrize("error", ENDINGS, ids=lambda error: type(error).__name__)
async def test_whatever_ends_a_run_is_told_and_the_thread_goes_on(
    queue: WorkQueue, error: BaseException
) -> None:
    for each in (queue, InlineQueue()):
        with pytest.raises(RuntimeError, match=f"ended by {type(error).__name__}"):
            await asyncio.wait_for(each.submit(broken(error), None, never), 2)
        assert await each.submit(Lane(echo), 1, never) == 1


async def test_the_deadline_of_a_run_is_watched_from_its_first_moment(background: Background) -> None:
    def dawdle(_: int) -> None:
        time.sleep(0.1)

    queue = WorkQueue(RequestLimits(timeout_milliseconds=150), on_batch=dawdle)
    background(queue.work)
    slow = Lane[None, None](lambda _: [time.sleep(0.4)])
    started = time.monotonic()
    with pytest.raises(Refusal, match="Scoring timeout"):
        await queue.submit(slow, None, never)
    assert time.monotonic() - started < 0.35
    queue.close()


async def test_the_inline_queue_answers_all_that_arrived_by_one_call() -> None:
    sizes: list[int] = []
    queue = InlineQueue(sizes.append)
    lane = Lane(echo, 16)
    assert await asyncio.gather(*[queue.submit(lane, n, never) for n in range(20)]) == list(range(20))
    assert sizes == [16, 4]
    assert await queue.submit(lane, 7, never) == 7


async def test_the_inline_queue_takes_as_much_as_the_loop_can_spare_in_one_turn() -> None:
    queue = InlineQueue()
    assert [queue.reserve(0.4e-3) for _ in range(3)] == [True, True, False]
    future = queue.submit(Lane(echo), 1, never)
    assert queue.reserve(0.4e-3) is False
    await future
    assert [queue.reserve(0.4e-3), queue.reserve(float("inf"))] == [True, False]


async def test_a_lane_that_fails_as_a_whole_fails_its_batch_and_no_other(queue: WorkQueue) -> None:
    broken = Lane[int, float](lambda values: [1 / value for value in values])
    with pytest.raises(ZeroDivisionError):
        await queue.submit(broken, 0, never)
    assert await queue.submit(broken, 2, never) == 0.5
