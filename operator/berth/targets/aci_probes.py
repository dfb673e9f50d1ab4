"""Whether endpoints answer: asked beside the passes, so that none of them waits for one that is silent."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from berth.core.keys import Key

Ask = Callable[[str, bytes | None], Awaitable[bool]]
Question = tuple[str, bytes | None]
"""A URL, and the SHA-256 of the certificate that it must show, if there is one."""

_MISSES = 3
"""One packet that is lost is no crash."""
_SOONEST_SECONDS = 1.0
_MOMENT_SECONDS = 0.5
_FORGOTTEN_SECONDS = 150.0
"""Who is not asked about for two passes is asked no more."""


@dataclass(slots=True)
class _Watch:
    wanted: float
    answered: float
    """When it answered last, or when it was asked first."""
    answers: bool = False
    misses: int = 0
    told: bool | None = None
    """What the last pass heard, or was woken for."""
    first: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None


class Probes:
    """Asks each endpoint every `interval` seconds, and calls `wake` when the answer is not what a pass heard.

    At most `at_once` are asked at the same time; `ask` ends soon and never raises.
    """

    def __init__(
        self, ask: Ask, wake: Callable[[Key], None], *, interval: float = 30.0, at_once: int = 32
    ) -> None:
        self._ask = ask
        self._wake = wake
        self._interval = interval
        self._free = asyncio.Semaphore(at_once)
        self._watches: dict[Key, dict[Question, _Watch]] = {}

    async def answers(self, key: Key, url: str, certificate: bytes | None = None) -> bool:
        """Tell whether an endpoint answers, as far as is known; the first answer is waited for a moment."""
        question = url, certificate
        watch = self._watches.get(key, {}).get(question) or self._begin(key, question)
        watch.wanted = _now()
        if watch.told is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_MOMENT_SECONDS):
                    await watch.first.wait()
        if watch.task and watch.task.done():  # it ends by itself where nobody asks, else by a defect
            self.forget(key)
            watch.task.result()
        watch.told = watch.answers
        return watch.answers

    def forget(self, key: Key) -> None:
        """Ask no more on behalf of a ModelDeployment."""
        for watch in self._watches.pop(key, {}).values():
            if watch.task:
                watch.task.cancel()

    def end(self) -> None:
        """Ask nobody any more."""
        for key in tuple(self._watches):
            self.forget(key)

    def _begin(self, key: Key, question: Question) -> _Watch:
        watch = self._watches.setdefault(key, {})[question] = _Watch(_now(), _now())
        watch.task = asyncio.create_task(self._watch(key, question, watch))
        return watch

    async def _watch(self, key: Key, question: Question, watch: _Watch) -> None:
        while _now() - watch.wanted < _FORGOTTEN_SECONDS:
            async with self._free:
                is_there = await self._ask(*question)
            self._note(watch, is_there)
            watch.first.set()
            if watch.told not in {None, watch.answers}:
                watch.told = watch.answers
                self._wake(key)
            await asyncio.sleep(self._pause(watch))
        del self._watches[key][question]

    def _note(self, watch: _Watch, is_there: bool) -> None:
        if is_there:
            watch.answers, watch.answered, watch.misses = True, _now(), 0
            return
        watch.misses += 1
        if watch.misses >= _MISSES:
            watch.answers = False

    def _pause(self, watch: _Watch) -> float:
        """Ask who is silent again at once, and less and less often."""
        if watch.misses == 0:
            return self._interval
        if watch.answers:
            return _SOONEST_SECONDS
        return min(self._interval, max(_SOONEST_SECONDS, (_now() - watch.answered) / 10))


def _now() -> float:
    return asyncio.get_running_loop().time()
