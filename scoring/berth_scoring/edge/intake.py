"""The inputs in hand of one connection: scored, answered, and only then acknowledged."""

import asyncio
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from berth_scoring.app import INTERNAL_ERROR
from berth_scoring.edge.counts import Counts
from berth_scoring.edge.errors import MqttError
from berth_scoring.edge.outputs import Output, Properties, answered, refused, size_beyond_limit, too_large
from berth_scoring.edge.packets import Packet, Publish
from berth_scoring.edge.topics import CONTENT_TYPE, MESSAGE_ID, Topics
from berth_scoring.execution import Busy
from berth_scoring.messages import Handler, Refusal, Request

INPUTS_AT_ONCE = 64
"""What may be in hand; a hub sends one at a time, and all of them again later."""
BUSY_SECONDS = 0.2

logger = logging.getLogger(__name__)

Record = Callable[[int, float, str], None]
"""Takes status, seconds and id of an input that was answered."""


class Line(Protocol):
    """The connection, as far as inputs need it."""

    async def publish(self, topic: str, payload: bytes) -> asyncio.Future[Packet]:
        """Send a message."""

    def acknowledge(self, packet_id: int) -> None:
        """Acknowledge a message."""


@dataclass(frozen=True, slots=True)
class Scorer:
    """What answers a message as it answers `POST /score`."""

    handler: Handler
    one_each: bool
    """Whether a list of JSON texts makes a message each: what scripts return, not models."""

    async def answer(self, body: bytes, given: Properties) -> tuple[int, list[Output]]:
        """Return status and outputs; a message waits for its turn for as long as that takes."""
        over = asyncio.Event()
        try:
            return await self._answer(_request(body, given, over), given)
        finally:
            over.set()

    async def _answer(self, request: Request, given: Properties) -> tuple[int, list[Output]]:
        while True:
            try:
                response = await self.handler(request)
                return response.status, answered(response, given, one_each=self.one_each)
            except Busy:
                await asyncio.sleep(random.uniform(BUSY_SECONDS / 2, BUSY_SECONDS))  # noqa: S311
            except Refusal as refusal:
                return refusal.status, [refused(refusal, given)]
            except Exception:  # a bug must not have the hub send the message again for ever
                logger.exception("A message failed")
                return 500, [refused(Refusal(500, INTERNAL_ERROR), given)]


def _request(body: bytes, given: Properties, over: asyncio.Event) -> Request:
    """Make the request that a message is; whoever sent it has left once it is `over`."""

    async def disconnect() -> None:
        await over.wait()

    header = (b"content-type", given.get(CONTENT_TYPE, "application/json").encode("latin-1", "replace"))
    request_id = given.get(MESSAGE_ID, "")
    return Request("POST", "/score", b"", [header], dict([header]), body, request_id, disconnect)


class Intake:
    """Takes inputs of a connection until that ends."""

    def __init__(
        self,
        scorer: Scorer,
        line: Line,
        topics: Topics,
        *,
        input_name: str,
        output_name: str,
        counts: Counts,
        record: Record,
    ) -> None:
        self._scorer = scorer
        self._line = line
        self._topics = topics
        self._input = input_name
        self._output = output_name
        self._counts = counts
        self._record = record
        self._in_hand: dict[int, asyncio.Task[None]] = {}
        self._closed = False

    def take(self, message: Publish) -> None:
        """Begin to answer a message, or let it go: what is not acknowledged, the hub sends again."""
        found = self._topics.input(message.topic)
        if found is None or found[0] != self._input:
            self._counts.dropped["other topic"] += 1
            self._line.acknowledge(message.packet_id)
        elif message.packet_id in self._in_hand:
            self._counts.dropped["repeated"] += 1
        elif self._closed or len(self._in_hand) >= INPUTS_AT_ONCE:
            self._counts.dropped["too many"] += 1
        else:
            self._counts.received += 1
            self._counts.redelivered += message.duplicate
            task = asyncio.get_running_loop().create_task(self._answer(message, found[1]))
            self._in_hand[message.packet_id] = task
            task.add_done_callback(lambda _: self._in_hand.pop(message.packet_id, None))

    async def finish(self, seconds: float) -> None:
        """Take no more, and give those in hand some time to be answered."""
        self._closed = True
        if self._in_hand:
            await asyncio.wait(self._in_hand.values(), timeout=seconds)

    def abandon(self) -> None:
        """Leave what is in hand to the next connection."""
        self._closed = True
        for task in self._in_hand.values():
            task.cancel()
        self._counts.dropped["interrupted"] += len(self._in_hand)

    async def _answer(self, message: Publish, given: Properties) -> None:
        started = time.perf_counter()
        status, outputs = await self._scorer.answer(message.payload, given)
        try:
            await self._send(outputs)
        except MqttError:
            self._counts.dropped["interrupted"] += 1
            return
        self._line.acknowledge(message.packet_id)
        self._counts.acknowledged += 1
        self._record(status, time.perf_counter() - started, given.get(MESSAGE_ID, ""))

    async def _send(self, outputs: list[Output]) -> None:
        stored = []
        for output in outputs:
            sent, topic = self._fitting(output)
            stored.append((sent, await self._line.publish(topic, sent.body)))
        for sent, future in stored:
            await future
            if sent.is_ok:
                self._counts.answered += 1
            else:
                self._counts.failed += 1

    def _fitting(self, output: Output) -> tuple[Output, str]:
        topic = self._topics.output(self._output, output.properties)
        size = size_beyond_limit(topic, output.body)
        if size is None:
            return output, topic
        self._counts.dropped["too large"] += 1
        instead = too_large(size)
        return instead, self._topics.output(self._output, instead.properties)
