"""A work queue like client-go's: bursts collapse, and no key is worked on twice at once."""

import asyncio
import enum
import heapq
from collections import deque
from collections.abc import Hashable
from typing import Generic, NamedTuple, TypeVar

from berth.core.observer import Observer

K = TypeVar("K", bound=Hashable)


class Priority(enum.IntEnum):
    """A user's change goes before the slow walk over everything."""

    CHANGE = 0
    RESYNC = 1


class QueueClosed(Exception):
    """The queue hands out no more keys."""


class _Waiting(NamedTuple):
    priority: Priority
    since: float


class WorkQueue(Generic[K]):
    """Keys are queued, then processing; one that is added meanwhile is dirty and queued again after.

    Needs a running event loop, whose clock and timers it uses.
    """

    def __init__(self, observer: Observer | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._observer = observer or Observer()
        self._queued: dict[K, _Waiting] = {}
        self._lanes: dict[Priority, deque[K]] = {priority: deque() for priority in Priority}
        self._processing: dict[K, float] = {}
        self._dirty: dict[K, Priority] = {}
        self._due: dict[K, float] = {}
        self._heap: list[tuple[float, int, K, Priority]] = []
        self._delays = 0
        self._timer: asyncio.TimerHandle | None = None
        self._getters: deque[asyncio.Future[None]] = deque()
        self._idle = asyncio.Event()
        self._idle.set()
        self._closed = False

    def add(self, key: K, priority: Priority = Priority.CHANGE) -> None:
        """Ask for a pass over `key`; of several wishes the most urgent one counts."""
        if self._closed:
            return
        if key in self._processing:
            self._dirty[key] = min(priority, self._dirty.get(key, priority))
            return
        waiting = self._queued.get(key)
        if waiting is None:
            self._enqueue(key, priority)
        elif priority < waiting.priority:
            self._queued[key] = waiting._replace(priority=priority)
            self._lanes[priority].append(key)

    def add_after(self, key: K, delay: float, priority: Priority = Priority.CHANGE) -> None:
        """Add `key` after `delay` seconds; of several delays the one that ends first counts."""
        if delay <= 0:
            self.add(key, priority)
            return
        due = self._loop.time() + delay
        if self._closed or due >= self._due.get(key, float("inf")):
            return
        self._due[key] = due
        self._delays += 1
        heapq.heappush(self._heap, (due, self._delays, key, priority))
        if self._heap[0][0] == due:
            self._arm()

    async def get(self) -> K:
        """Take the most urgent key, waiting for one; give it back with `done`."""
        while not self._queued or self._closed:
            if self._closed:
                raise QueueClosed
            await self._wait()
        return self._take()

    def done(self, key: K) -> None:
        """End the work on `key`; it is queued again if it was added meanwhile."""
        began = self._processing.pop(key)
        self._observer.finished(self._loop.time() - began)
        if not self._processing:
            self._idle.set()
        priority = self._dirty.pop(key, None)
        if priority is not None and not self._closed:
            self._enqueue(key, priority)

    def close(self) -> None:
        """Hand out no more keys; what is being processed may finish."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for getter in self._getters:
            if not getter.done():
                getter.set_result(None)

    async def drain(self) -> None:
        """Wait until no key is being processed."""
        await self._idle.wait()

    @property
    def depth(self) -> int:
        """How many keys wait to be taken."""
        return len(self._queued)

    @property
    def unfinished(self) -> float:
        """Seconds of work on all keys being processed, together."""
        now = self._loop.time()
        return sum(now - began for began in self._processing.values())

    @property
    def longest_running(self) -> float:
        """Seconds of work on the key that takes longest."""
        now = self._loop.time()
        return max((now - began for began in self._processing.values()), default=0.0)

    def _enqueue(self, key: K, priority: Priority) -> None:
        self._queued[key] = _Waiting(priority, self._loop.time())
        self._lanes[priority].append(key)
        self._observer.added()
        self._wake()

    def _take(self) -> K:
        key, waiting = self._pop()
        # This pass says itself when the next one is due.
        self._due.pop(key, None)
        now = self._loop.time()
        self._processing[key] = now
        self._idle.clear()
        self._observer.started(now - waiting.since)
        return key

    def _pop(self) -> tuple[K, _Waiting]:
        for priority, lane in self._lanes.items():
            while lane:
                key = lane.popleft()
                waiting = self._queued.get(key)
                # A key that was made more urgent stays behind in its old lane: pass over it there.
                if waiting is not None and waiting.priority is priority:
                    del self._queued[key]
                    return key, waiting
        raise AssertionError("a queued key is in no lane")

    async def _wait(self) -> None:
        getter = self._loop.create_future()
        self._getters.append(getter)
        try:
            await getter
        except asyncio.CancelledError:
            # The wake-up meant for this waiter must not be lost with it.
            if getter.done() and not getter.cancelled() and self._queued:
                self._wake()
            raise

    def _wake(self) -> None:
        while self._getters:
            getter = self._getters.popleft()
            if not getter.done():
                getter.set_result(None)
                return

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._heap[0][0], self._release) if self._heap else None

    def _release(self) -> None:
        now = self._loop.time()
        while self._heap and self._heap[0][0] <= now:
            due, _, key, priority = heapq.heappop(self._heap)
            # An earlier delay replaced this one if the times differ.
            if self._due.get(key) == due:
                del self._due[key]
                self.add(key, priority)
        self._arm()
