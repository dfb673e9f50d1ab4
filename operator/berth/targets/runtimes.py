"""Asks pipelines what they run on: once for each rollout, beside the workers, and more seldom in vain."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from berth.core.errors import ReconcileError
from berth.core.keys import Key
from berth.plan.fpga_plan import Runtime

_DEVICE, _PROVIDER = "x-berth-device", "x-berth-execution-provider"
_LONGEST_PAUSE = 300.0


class Ask(Protocol):
    """Sends a GET; raises Transient where it is not answered with 200."""

    async def __call__(self, url: str) -> Mapping[str, str]:
        """Return the headers of the answer."""


@dataclass(slots=True)
class _Question:
    """What one rollout is asked."""

    root: str
    serving: str
    task: asyncio.Task[None] = field(init=False)
    answer: Runtime | None = None

    def is_about(self, root: str, serving: str) -> bool:
        """Tell whether another question would be the same."""
        return (self.root, self.serving) == (root, serving)


class Runtimes:
    """Keeps what each ModelDeployment has said, and calls `wake` when one has said something."""

    def __init__(self, ask: Ask, wake: Callable[[Key], None]) -> None:
        self._ask = ask
        self._wake = wake
        self._questions: dict[Key, _Question] = {}

    def told(self, key: Key, root: str, serving: str) -> Runtime | None:
        """Return what the Pods with this hash have said, or None and start asking."""
        question = self._questions.get(key)
        if question is None or not question.is_about(root, serving):
            self.forget(key)
            question = self._questions[key] = _Question(root, serving)
            question.task = asyncio.create_task(self._ask_until_answered(key, question))
        return question.answer

    def forget(self, key: Key) -> None:
        """Ask no more for this ModelDeployment."""
        question = self._questions.pop(key, None)
        if question is not None:
            question.task.cancel()

    def end(self) -> None:
        """Ask nobody any more."""
        for key in tuple(self._questions):
            self.forget(key)

    async def _ask_until_answered(self, key: Key, question: _Question) -> None:
        pause = 1.0
        while True:
            try:
                headers = await self._ask(f"{question.root}/")
            except ReconcileError:
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
                continue
            question.answer = _read(headers)
            self._wake(key)
            return


def _read(headers: Mapping[str, str]) -> Runtime | None:
    device, provider = headers.get(_DEVICE), headers.get(_PROVIDER)
    return Runtime.said(device, provider) if device and provider else None
