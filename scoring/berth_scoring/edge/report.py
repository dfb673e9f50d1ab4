"""What the module's twin reports: which model is served, how it fares, and how much it has done."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Protocol

import orjson

from berth_scoring.edge.counts import Counts
from berth_scoring.edge.packets import Packet
from berth_scoring.edge.topics import twin_patch

SECTION = "berth"
LOOK_SECONDS = 10.0
ANSWER_SECONDS = 30.0

logger = logging.getLogger(__name__)

State = dict[str, Any]


class Line(Protocol):
    """The connection, as far as reports need it."""

    async def publish(self, topic: str, payload: bytes) -> asyncio.Future[Packet]:
        """Send a message."""


class Reporter:
    """Sends a change of state soon, a change of counts now and then, and nothing while all is as it was."""

    def __init__(self, state: Callable[[], State], counts: Counts, every_seconds: float) -> None:
        self._state = state
        self._counts = counts
        self._every = every_seconds
        self._told: tuple[State, dict[str, int]] | None = None
        self._told_at = float("-inf")
        self._refused_at = float("-inf")
        self._requests = 0
        self._answer: asyncio.Future[int] | None = None

    async def run(self, line: Line) -> None:
        """Report until cancelled."""
        while True:
            state, counts = self._state(), self._counts.summary()
            if self._is_due(state, counts):
                await self._tell(line, state, counts)
            await asyncio.sleep(LOOK_SECONDS)

    def settle(self, request: int, status: int) -> None:
        """Hear the hub's answer to a report."""
        if request == self._requests and self._answer is not None and not self._answer.done():
            self._answer.set_result(status)

    def _is_due(self, state: State, counts: dict[str, int]) -> bool:
        since = asyncio.get_running_loop().time() - self._every
        if self._refused_at > since:
            return False
        if self._told is None or state != self._told[0]:
            return True
        return counts != self._told[1] and self._told_at <= since

    async def _tell(self, line: Line, state: State, counts: dict[str, int]) -> None:
        loop = asyncio.get_running_loop()
        self._requests += 1
        self._answer = loop.create_future()
        self._counts.reports += 1
        body = orjson.dumps({SECTION: {**state, "counts": counts}})
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await (await line.publish(twin_patch(self._requests), body))
                status = await self._answer
        except TimeoutError:
            status = 0
        if 200 <= status < 300:  # noqa: PLR2004
            self._told, self._told_at = (state, counts), loop.time()
        else:
            self._refused_at = loop.time()
            logger.warning("The twin was not told: %s", status or f"no answer in {ANSWER_SECONDS:.0f} s")
