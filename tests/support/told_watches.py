"""Watches that tell what a test says."""

import asyncio
from typing import Any

from berth.core.errors import ReconcileError
from berth.plan.observed import key_of
from berth.plan.resources import Resource


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


async def settle() -> None:
    """Let everything happen that can."""
    for _ in range(5):
        await asyncio.sleep(0)
