"""Any history of the queue, compared with a plain model of it."""

import asyncio

import looptime
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from berth.core.queue import Priority, WorkQueue

KEYS = st.sampled_from("abcde")


class QueueHistory(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner(loop_factory=looptime.new_event_loop)
        self.queue: WorkQueue[str] = self.runner.run(self._queue())
        self.waiting: dict[str, Priority] = {}
        self.working: set[str] = set()
        self.dirty: dict[str, Priority] = {}
        self.due: dict[str, float] = {}
        self.time = 0.0

    @staticmethod
    async def _queue() -> WorkQueue[str]:
        return WorkQueue()

    def teardown(self) -> None:
        self.queue.close()
        self.runner.close()

    def _added(self, key: str, priority: Priority) -> None:
        into = self.dirty if key in self.working else self.waiting
        into[key] = min(priority, into.get(key, priority))

    @rule(key=KEYS, priority=st.sampled_from(Priority))
    def add(self, key: str, priority: Priority) -> None:
        self.queue.add(key, priority)
        self._added(key, priority)

    @rule(key=KEYS, delay=st.integers(1, 50))
    def add_after(self, key: str, delay: int) -> None:
        self.queue.add_after(key, delay)
        self.due[key] = min(self.time + delay, self.due.get(key, float("inf")))

    @precondition(lambda self: self.waiting)
    @rule()
    def take(self) -> None:
        key = self.runner.run(self.queue.get())
        assert key not in self.working, "a key is never worked on twice at once"
        most_urgent = min(self.waiting.values())
        assert self.waiting.pop(key) == most_urgent
        self.due.pop(key, None)
        self.working.add(key)

    @precondition(lambda self: self.working)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.working)))
        self.working.discard(key)
        self.queue.done(key)
        if key in self.dirty:
            self.waiting[key] = self.dirty.pop(key)

    @rule(seconds=st.integers(1, 30))
    def wait(self, seconds: int) -> None:
        self.runner.run(asyncio.sleep(seconds))
        self.time += seconds
        for key, due in list(self.due.items()):
            if due <= self.time:
                del self.due[key]
                self._added(key, Priority.CHANGE)

    @invariant()
    def as_many_wait_as_should(self) -> None:
        assert self.queue.depth == len(self.waiting)


TestQueueHistory = QueueHistory.TestCase
TestQueueHistory.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
