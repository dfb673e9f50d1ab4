"""Asks endpoints beside the workers: a pass looks at what was answered, and never waits for it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from berth.core.keys import Key

Q = TypeVar("Q")
A = TypeVar("A")


@dataclass(frozen=True, slots=True)
class Reply(Generic[A]):
    """What came of asking once; a final one is not asked for again."""

    answer: A | None
    is_final: bool


@dataclass(slots=True)
class _Inquiry(Generic[Q, A]):
    question: Q
    task: asyncio.Task[None] = field(init=False)
    answer: A | None = None


class Inquiries(Generic[Q, A]):
    """Keeps the last answer for each ModelDeployment, and calls `wake` when there is a new one."""

    def __init__(self, wake: Callable[[Key], None], longest_pause: float) -> None:
        self._wake = wake
        self._longest_pause = longest_pause
        self._inquiries: dict[Key, _Inquiry[Q, A]] = {}

    def answer(self, key: Key, question: Q, ask: Callable[[], Awaitable[Reply[A]]]) -> A | None:
        """Return the last answer to this question, or None and begin to ask; raises what `ask` raised."""
        inquiry = self._inquiries.get(key)
        if inquiry is None or inquiry.question != question:
            self.forget(key)
            inquiry = self._inquiries[key] = _Inquiry(question)
            inquiry.task = asyncio.create_task(self._repeat(key, inquiry, ask))
        elif inquiry.task.done() and (defect := inquiry.task.exception()):
            self.forget(key)
            raise defect
        return inquiry.answer

    def forget(self, key: Key) -> None:
        """Ask no more for this ModelDeployment."""
        inquiry = self._inquiries.pop(key, None)
        if inquiry is not None:
            inquiry.task.cancel()

    def end(self) -> None:
        """Ask nobody any more."""
        for key in tuple(self._inquiries):
            self.forget(key)

    async def _repeat(
        self, key: Key, inquiry: _Inquiry[Q, A], ask: Callable[[], Awaitable[Reply[A]]]
    ) -> None:
        pause = 1.0
        while True:
            reply = await ask()
            if reply.answer != inquiry.answer:
                inquiry.answer = reply.answer
                self._wake(key)
            if reply.is_final:
                return
            await asyncio.sleep(pause)
            pause = min(2 * pause, self._longest_pause)
