import asyncio

import pytest
from virtual_time import in_virtual_time, now

from berth.core.observer import Observer
from berth.core.queue import Priority, QueueClosed, WorkQueue


class Journal(Observer):
    def __init__(self) -> None:
        self.entries: list[tuple[str, float]] = []

    def added(self) -> None:
        self.entries.append(("added", now()))

    def started(self, waited: float) -> None:
        self.entries.append(("started", round(waited, 6)))

    def finished(self, worked: float) -> None:
        self.entries.append(("finished", round(worked, 6)))


async def taken(queue: WorkQueue[str]) -> list[str]:
    """Take all that is queued."""
    return [await queue.get() for _ in range(queue.depth)]


@in_virtual_time
async def test_keys_come_in_the_order_in_which_they_were_added() -> None:
    queue: WorkQueue[str] = WorkQueue()
    for key in "abc":
        queue.add(key)
    assert await taken(queue) == ["a", "b", "c"]


@in_virtual_time
async def test_a_burst_collapses_into_one_pass() -> None:
    queue: WorkQueue[str] = WorkQueue()
    for _ in range(100):
        queue.add("a")
    assert await taken(queue) == ["a"]


@in_virtual_time
async def test_a_key_in_work_is_not_handed_out_again_before_it_is_done() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a")
    key = await queue.get()
    queue.add("a")
    queue.add("a")
    assert queue.depth == 0
    queue.done(key)
    assert await taken(queue) == ["a"]
    queue.done("a")
    assert queue.depth == 0


@in_virtual_time
async def test_a_users_change_goes_before_the_resync() -> None:
    queue: WorkQueue[str] = WorkQueue()
    for key in ("old-1", "old-2"):
        queue.add(key, Priority.RESYNC)
    queue.add("fresh")
    assert await taken(queue) == ["fresh", "old-1", "old-2"]


@in_virtual_time
async def test_a_key_that_is_queued_for_the_resync_moves_forward_when_a_user_changes_it() -> None:
    queue: WorkQueue[str] = WorkQueue()
    for key in ("a", "b", "c"):
        queue.add(key, Priority.RESYNC)
    queue.add("c")
    queue.add("c", Priority.RESYNC)
    assert await taken(queue) == ["c", "a", "b"]


@in_virtual_time
async def test_a_key_that_moved_forward_is_not_handed_out_from_its_old_place_too() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a", Priority.RESYNC)
    queue.add("a")
    queue.done(await queue.get())
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(1)
    assert not waiting.done()
    queue.add("a", Priority.RESYNC)
    assert await waiting == "a"


@in_virtual_time
async def test_the_priority_of_a_key_in_work_is_kept_for_its_next_pass() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a")
    key = await queue.get()
    queue.add("a", Priority.RESYNC)
    queue.add("a")
    queue.add("b", Priority.RESYNC)
    queue.done(key)
    assert await taken(queue) == ["a", "b"]


@in_virtual_time
async def test_get_waits_for_a_key() -> None:
    queue: WorkQueue[str] = WorkQueue()
    asyncio.get_running_loop().call_later(5, queue.add, "a")
    began = now()
    assert await queue.get() == "a"
    assert now() - began == 5


@in_virtual_time
async def test_every_waiting_worker_gets_a_key() -> None:
    queue: WorkQueue[str] = WorkQueue()
    workers = [asyncio.create_task(queue.get()) for _ in range(3)]
    await asyncio.sleep(0)
    for key in "abc":
        queue.add(key)
    assert sorted(await asyncio.gather(*workers)) == ["a", "b", "c"]


@in_virtual_time
async def test_a_key_is_not_lost_with_a_worker_that_is_cancelled_as_it_wakes_up() -> None:
    queue: WorkQueue[str] = WorkQueue()
    first, second = (asyncio.create_task(queue.get()) for _ in range(2))
    await asyncio.sleep(0)
    queue.add("a")
    first.cancel()
    assert await second == "a"
    assert first.cancelled()


@in_virtual_time
async def test_a_delayed_key_comes_when_its_time_has_come() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add_after("later", 300)
    queue.add_after("sooner", 20)
    began = now()
    assert (await queue.get(), now() - began) == ("sooner", 20)
    assert (await queue.get(), now() - began) == ("later", 300)


@pytest.mark.parametrize("delays", [(10, 60), (60, 10)])
@in_virtual_time
async def test_of_several_delays_the_one_that_ends_first_counts_and_only_once(
    delays: tuple[float, float],
) -> None:
    queue: WorkQueue[str] = WorkQueue()
    for delay in delays:
        queue.add_after("a", delay)
    began = now()
    queue.done(await queue.get())
    assert now() - began == 10
    await asyncio.sleep(100)
    assert queue.depth == 0


@in_virtual_time
async def test_no_delay_means_at_once() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add_after("a", 0)
    assert queue.depth == 1


@in_virtual_time
async def test_a_delay_that_ends_during_the_work_makes_another_pass() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a")
    key = await queue.get()
    queue.add_after("a", 5)
    await asyncio.sleep(10)
    assert queue.depth == 0
    queue.done(key)
    assert queue.depth == 1


@in_virtual_time
async def test_a_pass_makes_earlier_delays_moot() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add_after("a", 5)
    queue.add("a")
    queue.done(await queue.get())
    await asyncio.sleep(10)
    assert queue.depth == 0


@in_virtual_time
async def test_a_closed_queue_hands_out_nothing_more() -> None:
    queue: WorkQueue[str] = WorkQueue()
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.close()
    with pytest.raises(QueueClosed):
        await waiting
    queue.add("a")
    queue.add_after("a", 1)
    await asyncio.sleep(2)
    with pytest.raises(QueueClosed):
        await queue.get()


@in_virtual_time
async def test_a_delay_dies_with_the_queue() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add_after("a", 1)
    queue.close()
    await asyncio.sleep(2)
    assert queue.depth == 0


@in_virtual_time
async def test_drain_waits_for_the_work_that_runs() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a")
    key = await queue.get()
    queue.close()
    asyncio.get_running_loop().call_later(7, queue.done, key)
    began = now()
    await queue.drain()
    assert now() - began == 7


@in_virtual_time
async def test_it_tells_how_much_waits() -> None:
    queue: WorkQueue[str] = WorkQueue()
    assert (queue.depth, queue.unfinished, queue.longest_running) == (0, 0, 0)
    queue.add("a", Priority.RESYNC)
    await asyncio.sleep(3)
    queue.add("a")
    queue.add("b")
    assert queue.depth == 2


@in_virtual_time
async def test_it_tells_how_long_the_work_has_run() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a")
    await queue.get()
    await asyncio.sleep(4)
    queue.add("b")
    await queue.get()
    await asyncio.sleep(1)
    assert (queue.unfinished, queue.longest_running) == (6, 5)


@in_virtual_time
async def test_the_observer_hears_each_step() -> None:
    journal = Journal()
    queue: WorkQueue[str] = WorkQueue(journal)
    queue.add("a")
    queue.add("a")
    await asyncio.sleep(2)
    key = await queue.get()
    await asyncio.sleep(3)
    queue.done(key)
    assert journal.entries == [("added", 0), ("started", 2), ("finished", 3)]
