"""Where scripts and models run: a queue that the event loop fills and the main thread empties."""

import asyncio
import contextlib
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any, Generic, TypeVar

from berth_scoring.config import RequestLimits
from berth_scoring.messages import Disconnect, Disconnected, Refusal

T = TypeVar("T")
R = TypeVar("R")

INTERRUPT = signal.SIGRTMIN + 4
"""A signal that no script is likely to use: SIGALRM and its timer stay theirs."""
_SIGNAL_SECONDS = 1.0

TICK_SECONDS = 0.02
INLINE_SECONDS_AT_ONCE = 1e-3
STUCK_GRACE_SECONDS = 10.0


class Busy(Refusal):
    """No slot became free in time."""


class Interrupted(BaseException):
    """Ends a run that has passed its deadline; not an Exception, so that a script does not swallow it."""


@dataclass(frozen=True, eq=False)
class Lane(Generic[T, R]):
    """Work of one kind: `execute` answers up to `max_batch` requests, each by a result or an error."""

    execute: Callable[[Sequence[T]], Sequence[R | Exception]]
    max_batch: int = 1


class Entry:
    """One request on its way through the queue."""

    __slots__ = ("disconnect", "future", "lane", "submitted", "value", "watcher")

    def __init__(
        self, lane: Lane[Any, Any], value: object, future: asyncio.Future[Any], disconnect: Disconnect
    ) -> None:
        self.lane = lane
        self.value = value
        self.future = future
        self.disconnect = disconnect
        self.submitted = time.monotonic()
        self.watcher: asyncio.Task[None] | None = None

    def settle(self, outcome: object) -> None:
        """Hand the outcome to whoever awaits it, unless that was done already."""
        if self.future.done():
            return
        if isinstance(outcome, BaseException):
            self.future.set_exception(_holdable(outcome))
        else:
            self.future.set_result(outcome)


@dataclass(slots=True, eq=False)
class Run:
    """A batch that a thread is working on."""

    entries: list[Entry]
    started: float
    overdue: bool = False


class WorkQueue:
    """Requests wait here until a thread takes them; the loop gives up on those that take too long."""

    def __init__(self, limits: RequestLimits, on_batch: Callable[[int], None] = lambda _: None) -> None:
        self._limits = limits
        self._timeout = limits.timeout_milliseconds / 1000
        # An idle thread needs a moment, too, to take a request.
        self._patience = max(limits.max_queue_wait_milliseconds / 1000, TICK_SECONDS)
        self._on_batch = on_batch
        self._changed = threading.Condition()
        self._waiting: deque[Entry] = deque()
        self._running: dict[int, Run] = {}
        self._finished: deque[tuple[Entry, object]] = deque()
        self._delivering = False
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ticking = False

    @property
    def depth(self) -> int:
        """How many requests wait."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """How many requests are being worked on."""
        return sum(len(run.entries) for run in list(self._running.values()))

    @property
    def overdue(self) -> bool:
        """Whether a run has gone on past its deadline."""
        limit = time.monotonic() - self._timeout
        return any(run.started < limit for run in list(self._running.values()))

    @property
    def stuck(self) -> bool:
        """Whether a run has gone on for so long after its deadline that only a restart helps."""
        limit = time.monotonic() - 2 * self._timeout - STUCK_GRACE_SECONDS
        return any(run.started < limit for run in list(self._running.values()))

    def submit(self, lane: Lane[T, R], value: T, disconnect: Disconnect) -> asyncio.Future[R]:
        """Queue a request; called on the event loop."""
        loop = asyncio.get_running_loop()
        entry = Entry(lane, value, loop.create_future(), disconnect)
        with self._changed:
            self._waiting.append(entry)
            self._changed.notify()
        if not self._ticking:
            self._loop, self._ticking = loop, True
            loop.call_later(TICK_SECONDS, self._tick)
        return entry.future

    def work(self) -> None:
        """Answer requests in the calling thread until the queue is closed."""
        while True:
            # An interrupt may strike just after the run it was meant for: that batch is answered already.
            with contextlib.suppress(Interrupted):
                entries = self._take()
                if not entries:
                    return
                self._deliver(entries, self._execute(entries))

    def close(self) -> None:
        """Let the threads go once nothing waits any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @contextlib.contextmanager
    def interrupting(self) -> Iterator[None]:
        """Let runs in the calling thread, the process's main one, be cut at their deadline."""
        previous = signal.signal(INTERRUPT, self._on_interrupt)
        try:
            yield
        finally:
            signal.signal(INTERRUPT, previous)

    def _take(self) -> list[Entry]:
        thread = threading.get_ident()
        with self._changed:
            # An interrupt may have struck before the run could be struck off.
            self._running.pop(thread, None)
            while True:
                while not self._waiting:
                    if self._closed:
                        return []
                    # Whoever waits for ever hears no signal that came just before, or to another thread.
                    self._changed.wait(_SIGNAL_SECONDS)
                if entries := _next_batch(self._waiting):
                    # In the same breath, so that at no time its deadline is unwatched.
                    self._running[thread] = Run(entries, time.monotonic())
                    return entries

    def _execute(self, entries: list[Entry]) -> Sequence[object]:
        try:
            self._on_batch(len(entries))
            return _outcomes(entries)
        finally:
            self._running.pop(threading.get_ident(), None)

    def _deliver(self, entries: list[Entry], outcomes: Sequence[object]) -> None:
        self._finished.extend(zip(entries, outcomes, strict=True))
        if not self._delivering:
            self._delivering = True
            assert self._loop is not None  # noqa: S101 - whoever submitted has set it
            self._loop.call_soon_threadsafe(self._settle_finished)

    def _settle_finished(self) -> None:
        self._delivering = False
        while self._finished:
            entry, outcome = self._finished.popleft()
            entry.settle(outcome)

    def _tick(self) -> None:
        now = time.monotonic()
        self._give_up_waiting(now)
        self._give_up_running(now)
        self._watch_waiting()
        with self._changed:
            self._ticking = bool(self._waiting or self._running)
        if self._ticking and self._loop is not None:
            self._loop.call_later(TICK_SECONDS, self._tick)

    def _give_up_waiting(self, now: float) -> None:
        with self._changed:
            while self._waiting and now - self._waiting[0].submitted > self._patience:
                self._waiting.popleft().settle(self._busy())

    def _give_up_running(self, now: float) -> None:
        for thread, run in list(self._running.items()):
            if not run.overdue and now - run.started > self._timeout:
                run.overdue = True
                for entry in run.entries:
                    entry.settle(self._timed_out())
                if thread == threading.main_thread().ident:
                    signal.pthread_kill(thread, INTERRUPT)

    def _watch_waiting(self) -> None:
        # Only who waits for more than a tick is watched: a task per request would cost more than most runs.
        for entry in list(self._waiting):
            if entry.watcher is None:
                entry.watcher = asyncio.ensure_future(_abandon(entry))

    def _on_interrupt(self, _signal: int, _frame: FrameType | None) -> None:
        run = self._running.get(threading.get_ident())
        if run is not None and run.overdue:
            raise Interrupted

    def _busy(self) -> Busy:
        wait = self._limits.max_queue_wait_milliseconds
        message = f"The server is busy: no free slot within {wait} ms (maxQueueWaitMilliseconds). Try again"
        return Busy(503, message, [(b"retry-after", b"1")])

    def _timed_out(self) -> Refusal:
        limit = self._limits.timeout_milliseconds
        return Refusal(504, f"Scoring timeout after {limit} ms (timeoutMilliseconds)")


class InlineQueue:
    """Runs work on the event loop itself: for models that answer faster than a thread takes over."""

    def __init__(self, on_batch: Callable[[int], None] = lambda _: None) -> None:
        self._on_batch = on_batch
        self._waiting: deque[Entry] = deque()
        self._reserved = 0.0

    def reserve(self, seconds: float) -> bool:
        """Tell whether the loop can spare so much time before it turns to other things, and take it if so."""
        if self._reserved + seconds > INLINE_SECONDS_AT_ONCE:
            return False
        self._reserved += seconds
        return True

    def submit(self, lane: Lane[T, R], value: T, disconnect: Disconnect) -> asyncio.Future[R]:
        """Queue a request until all that arrived with it are read."""
        loop = asyncio.get_running_loop()
        entry = Entry(lane, value, loop.create_future(), disconnect)
        if not self._waiting:
            # One turn of the loop later, so that requests which are about to be read join in.
            loop.call_soon(loop.call_soon, self._run)
        self._waiting.append(entry)
        return entry.future

    def _run(self) -> None:
        self._reserved = 0.0
        while self._waiting:
            entries = _next_batch(self._waiting)
            self._on_batch(len(entries))
            for entry, outcome in zip(entries, _outcomes(entries), strict=True):
                entry.settle(outcome)


def _outcomes(entries: list[Entry]) -> Sequence[object]:
    """Run a batch; what ends it answers its requests, as a thread that ended would answer none."""
    try:
        return entries[0].lane.execute([entry.value for entry in entries])
    except Interrupted:
        raise
    except BaseException as error:  # noqa: BLE001 - extensions in Rust raise one that is no Exception
        return [error] * len(entries)


def _holdable(error: BaseException) -> Exception:
    """Return an error for a future: what cancels a task, or stops an iteration, would not reach who waits."""
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    failure = RuntimeError(f"the run ended by {type(error).__name__}")
    failure.__cause__ = error
    return failure


def _next_batch(waiting: deque[Entry]) -> list[Entry]:
    lane = waiting[0].lane
    batch: list[Entry] = []
    while waiting and waiting[0].lane is lane and len(batch) < lane.max_batch:
        entry = waiting.popleft()
        if not entry.future.done():
            batch.append(entry)
    return batch


async def _abandon(entry: Entry) -> None:
    await entry.disconnect()
    entry.settle(Disconnected())
