"""Watches that tell what a test says."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Generic, TypeVar

from berth.core.errors import ReconcileError
from berth.plan.observed import key_of
from berth.plan.resources import Resource
from berth.targets.watches import Watches

N = TypeVar("N")


class Watch:
    """A watch that tells what the test says."""

    def __init__(self, resource: Resource, listener: Any, selector: str) -> None:
        self.resource = resource
        self.selector = selector
        self.settled = asyncio.Event()
        self.refusal: ReconcileError | None = None
        self.is_running = False
        self._listener = listener

    async def run(self) -> None:
        self.is_running = True
        try:
            await asyncio.Event().wait()
        finally:
            self.is_running = False

    def list(self, *raw: Any) -> None:
        for each in raw:
            self.tell(each)
        present = {key_of(each): each["metadata"].get("uid", "") for each in raw}
        self._listener.listed(self.resource, "", present, 1)
        self.settled.set()

    def refuse(self, why: ReconcileError) -> None:
        self.refusal = why
        self.settled.set()

    def tell(self, raw: Any) -> None:
        self._listener.changed(self.resource, raw)

    def drop(self, raw: Any) -> None:
        self._listener.vanished(self.resource, raw)


class Watched(Generic[N]):
    """The watches that were made, each by a name, and how often someone was woken by their news."""

    def __init__(self, name: Callable[[Resource, str], N]) -> None:
        self.watches: dict[N, Watch] = {}
        self.heard = 0
        self._name = name

    def follow(self, resource: Resource, listener: Any, *, labels: str = "", fields: str = "") -> Watch:
        watch = Watch(resource, listener, labels or fields)
        self.watches[self._name(resource, watch.selector)] = watch
        return watch

    def hear(self) -> None:
        self.heard += 1

    @property
    def running(self) -> set[N]:
        return {name for name, watch in self.watches.items() if watch.is_running}


@asynccontextmanager
async def running(watches: Watches) -> AsyncIterator[None]:
    """Have them follow what is asked for, for a while."""
    task = asyncio.create_task(watches.run())
    await settle()
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def settle() -> None:
    """Let everything happen that can."""
    for _ in range(5):
        await asyncio.sleep(0)
