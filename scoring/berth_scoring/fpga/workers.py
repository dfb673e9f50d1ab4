"""Threads for calls: few while calls go on, more where those that are there are held up."""

import itertools
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any, ParamSpec, TypeVar

FEW = 4
HELD_UP_SECONDS = 0.02
"""A call that waited for longer is a sign that one thread more is needed."""

P = ParamSpec("P")
T = TypeVar("T")
Task = tuple[float, Future[Any], Callable[[], Any]]
"""Since when it waits, whom to tell, and what to do."""


class Workers(Executor):
    """Like a pool of threads that are made as needed, but slow to make them.

    Where calls are short, each thread more costs all of them: they wake each other in turn.
    For the same reason a task wakes one thread alone, the one that worked last: its memory is still at hand.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = Lock()
        self._tasks: deque[Task] = deque()
        # Threads that have nothing to do, by what each takes its next task from.
        self._idle: list[SimpleQueue[Task]] = []
        self._threads = 0
        self._taken = itertools.count()
        self._begun = self._seen = 0
        self._add(FEW)

    @property
    def threads(self) -> int:
        """How many there are."""
        return self._threads

    def submit(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have a thread do it."""
        future: Future[T] = Future()
        task = time.monotonic(), future, lambda: work(*args, **kwargs)
        with self._lock:
            if self._idle:
                self._idle.pop().put(task)
            else:
                self._tasks.append(task)
        return future

    def relieve(self) -> None:
        """Add threads where all have been held up since the last look; called now and then by who watches."""
        begun, waiting = self._begun, len(self._tasks)
        if waiting and begun == self._seen:
            self._add(waiting)
        self._seen = begun

    def _add(self, count: int) -> None:
        with self._lock:
            count = min(count, self._most - self._threads)
            self._threads += max(0, count)
        for _ in range(count):
            # One that never comes back from its device must not keep the process from its end.
            Thread(target=self._run, name="pipeline", daemon=True).start()

    def _run(self) -> None:
        own: SimpleQueue[Task] = SimpleQueue()
        while True:
            since, future, work = self._next(own)
            self._begun = next(self._taken)
            if time.monotonic() - since > HELD_UP_SECONDS:
                self._add(1)
            _finish(future, work)
            del future, work  # what a call held is not kept until the next one

    def _next(self, own: SimpleQueue[Task]) -> Task:
        with self._lock:
            if self._tasks:
                return self._tasks.popleft()
            self._idle.append(own)
        return own.get()


def _finish(future: Future[Any], work: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = work()
    except BaseException as error:  # noqa: BLE001 - it is told to who waits for it
        future.set_exception(error)
    else:
        future.set_result(result)
