"""A fixed pool of workers, and the one place that says what follows a pass."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable
from contextlib import AbstractContextManager, nullcontext
from typing import Generic, TypeVar

from berth.core.backoff import Backoff
from berth.core.errors import Conflict, Gone, Postponed, Terminal, Transient
from berth.core.observer import Observer
from berth.core.queue import QueueClosed, WorkQueue
from berth.core.results import Done, RequeueAfter, Result

K = TypeVar("K", bound=Hashable)

logger = logging.getLogger(__name__)

_QUIET_CONFLICTS = 6
"""With the usual back-off these take three seconds; what lasts longer is no race any more."""


class Workers(Generic[K]):
    """Runs `reconcile` on the queue's keys, `size` at a time.

    `report` is told each failure that a user should hear of, before the key is queued again; `about` is
    entered around each pass and what follows from it.
    """

    def __init__(
        self,
        queue: WorkQueue[K],
        reconcile: Callable[[K], Awaitable[Result]],
        report: Callable[[K, Exception], Awaitable[None]],
        *,
        size: int,
        backoff: Backoff[K] | None = None,
        observer: Observer | None = None,
        about: Callable[[K], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self._queue = queue
        self._reconcile = reconcile
        self._report = report
        self._size = size
        self._backoff = backoff or Backoff()
        self._observer = observer or Observer()
        self._about = about
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self, start: asyncio.Event | None = None) -> None:
        """Work until `stop` is called, once `start` is set."""
        async with asyncio.TaskGroup() as group:
            self._tasks = [
                group.create_task(self._work(start), name=f"worker-{n}") for n in range(self._size)
            ]

    async def stop(self, grace: float) -> None:
        """Take no more keys, give the running passes `grace` seconds, then cancel them."""
        self._queue.close()
        try:
            async with asyncio.timeout(grace):
                await self._queue.drain()
        except TimeoutError:
            logger.warning("Passes still ran after %s s and were cancelled", grace)
        for task in self._tasks:
            task.cancel()

    async def _work(self, start: asyncio.Event | None) -> None:
        if start is not None:
            await start.wait()
        loop = asyncio.get_running_loop()
        while True:
            try:
                key = await self._queue.get()
            except QueueClosed:
                return
            began = loop.time()
            try:
                with self._about(key):
                    outcome = await self._pass(key)
            finally:
                self._queue.done(key)
            self._observer.reconciled(outcome, loop.time() - began)

    async def _pass(self, key: K) -> str:
        try:
            result = await self._reconcile(key)
        except (Conflict, Gone) as error:
            lasts = self._backoff.failures(key) >= _QUIET_CONFLICTS
            if lasts:
                await self._tell(key, error)
            self._retry(key)
            return "error" if lasts else "requeue"
        except Postponed as error:
            result = RequeueAfter(error.retry_after)
        except Terminal as error:
            await self._tell(key, error)
            self._backoff.reset(key)
            if error.retry_after is not None:
                self._queue.add_after(key, error.retry_after)
            return "error"
        except Transient as error:
            await self._tell(key, error)
            self._retry(key, error.retry_after)
            return "error"
        except Exception as error:  # a bug that one object meets must not end the worker of all
            logger.exception("A pass failed unexpectedly")
            await self._tell(key, error)
            self._retry(key)
            return "error"
        self._backoff.reset(key)
        match result:
            case RequeueAfter(seconds):
                self._queue.add_after(key, seconds)
                return "requeue_after"
            case Done():
                return "success"

    async def _tell(self, key: K, error: Exception) -> None:
        try:
            await self._report(key, error)
        except Exception:  # whatever it is: the failure is told again with the next attempt
            logger.exception("A failure could not be reported")

    def _retry(self, key: K, at_least: float | None = None) -> None:
        self._observer.retried()
        self._queue.add_after(key, max(self._backoff.next(key), at_least or 0.0))
