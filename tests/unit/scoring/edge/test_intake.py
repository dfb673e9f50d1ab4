import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest
from virtual_time import in_virtual_time, now

from berth_scoring.edge.counts import Counts
from berth_scoring.edge.errors import ConnectionLostError
from berth_scoring.edge.intake import INPUTS_AT_ONCE, Intake, Scorer
from berth_scoring.edge.packets import Packet, Publish
from berth_scoring.edge.topics import Topics
from berth_scoring.execution import Busy
from berth_scoring.messages import Handler, Refusal, Request, Response, json_response

TOPICS = Topics("in/", "out/")


@dataclass
class Line:
    """A connection that stores what it is told to."""

    sent: list[tuple[str, bytes]] = field(default_factory=list)
    futures: list[asyncio.Future[Packet]] = field(default_factory=list)
    acknowledged: list[int] = field(default_factory=list)
    at_once: bool = True

    async def publish(self, topic: str, payload: bytes) -> asyncio.Future[Packet]:
        self.sent.append((topic, payload))
        self.futures.append(asyncio.get_running_loop().create_future())
        if self.at_once:
            self.store(-1)
        return self.futures[-1]

    def store(self, index: int) -> None:
        self.futures[index].set_result(Packet(4, 0, b"\x00\x01"))

    def acknowledge(self, packet_id: int) -> None:
        self.acknowledged.append(packet_id)


@dataclass
class Bench:
    line: Line
    counts: Counts
    intake: Intake
    records: list[Any]

    def take(self, packet_id: int, body: bytes = b"1", topic: str = "in/amlInput/") -> None:
        self.intake.take(Publish(topic, body, packet_id))


def bench(handler: Handler, **line: Any) -> Bench:
    records: list[Any] = []
    made, counts = Line(**line), Counts()
    intake = Intake(
        Scorer(handler, one_each=True),
        made,
        TOPICS,
        input_name="amlInput",
        output_name="amlOutput",
        counts=counts,
        record=lambda *record: records.append(record),
    )
    return Bench(made, counts, intake, records)


async def echo(request: Request) -> Response:
    return Response(200, request.body, [(b"content-type", b"application/json")])


@in_virtual_time
async def test_an_input_is_acknowledged_after_the_last_of_its_outputs() -> None:
    made = bench(echo, at_once=False)
    made.take(7, b'["1", "2"]')
    await asyncio.sleep(1)
    assert [body for _, body in made.line.sent] == [b"1", b"2"]
    made.line.store(1)
    await asyncio.sleep(1)
    assert made.line.acknowledged == []
    made.line.store(0)
    await asyncio.sleep(1)
    assert made.line.acknowledged == [7]
    assert made.counts.answered == 2
    assert made.records == [(200, pytest.approx(0, abs=1), "")]


@in_virtual_time
async def test_an_input_whose_connection_is_lost_is_not_acknowledged() -> None:
    made = bench(echo, at_once=False)
    made.take(7)
    await asyncio.sleep(1)
    made.line.futures[0].set_exception(ConnectionLostError("gone"))
    await asyncio.sleep(1)
    made.intake.abandon()
    assert made.counts.dropped == {"interrupted": 1}
    assert made.line.acknowledged == []
    assert made.records == []


@in_virtual_time
async def test_the_number_of_an_input_is_free_once_it_is_answered() -> None:
    made = bench(echo)
    made.take(7)
    await asyncio.sleep(1)
    made.take(7)
    await asyncio.sleep(1)
    assert made.line.acknowledged == [7, 7]
    assert made.counts.dropped.total() == 0


@in_virtual_time
async def test_a_busy_server_is_asked_until_it_has_a_slot() -> None:
    refusals = [Busy(503, "busy")] * 5

    async def busy(request: Request) -> Response:
        if refusals:
            raise refusals.pop()
        return json_response(1)

    made = bench(busy)
    made.take(1)
    await asyncio.sleep(5)
    assert made.line.acknowledged == [1]
    assert made.counts.failed == 0


@in_virtual_time
async def test_whatever_a_handler_raises_is_an_answer() -> None:
    async def fail(request: Request) -> Response:
        raise Refusal(400, "not so") if request.body == b"1" else ZeroDivisionError

    made = bench(fail)
    made.take(1)
    made.take(2, b"2")
    await asyncio.sleep(1)
    assert sorted(body for _, body in made.line.sent) == [
        b'{"message": "An unexpected internal error occurred. Check the logs for more info."}',
        b'{"message": "not so"}',
    ]
    assert sorted(made.line.acknowledged) == [1, 2]
    assert made.counts.failed == 2
    assert sorted(status for status, *_ in made.records) == [400, 500]


@in_virtual_time
async def test_what_is_in_hand_is_bounded() -> None:
    made = bench(forever)
    for number in range(1, INPUTS_AT_ONCE + 11):
        made.take(number)
    await asyncio.sleep(1)
    assert made.counts.received == INPUTS_AT_ONCE
    assert made.counts.dropped == {"too many": 10}
    assert made.line.acknowledged == []


@in_virtual_time
async def test_the_end_waits_for_what_is_in_hand_and_takes_no_more() -> None:
    async def slow(request: Request) -> Response:
        await asyncio.sleep(2)
        return json_response(1)

    made = bench(slow)
    made.take(1)
    await asyncio.sleep(0)
    finishing = asyncio.create_task(made.intake.finish(5))
    await asyncio.sleep(0)
    made.take(2)
    await finishing
    assert now() == 2
    assert made.line.acknowledged == [1]
    assert made.counts.dropped == {"too many": 1}


@in_virtual_time
async def test_the_end_does_not_wait_for_ever() -> None:
    made = bench(forever)
    made.take(1)
    await asyncio.sleep(0)
    await made.intake.finish(5)
    assert now() == 5
    made.intake.abandon()
    await asyncio.sleep(0)
    assert made.counts.dropped == {"interrupted": 1}
    assert made.line.acknowledged == []


@in_virtual_time
async def test_who_waits_in_the_queue_is_told_when_a_message_is_over() -> None:
    seen: list[Request] = []

    async def keep(request: Request) -> Response:
        seen.append(request)
        return await forever(request)

    made = bench(keep)
    made.take(1)
    await asyncio.sleep(0)
    watcher = asyncio.ensure_future(seen[0].disconnect())
    await asyncio.sleep(1)
    assert not watcher.done()
    made.intake.abandon()
    await watcher


async def forever(_request: Request) -> Response:
    await asyncio.get_running_loop().create_future()
    raise AssertionError


@in_virtual_time
async def test_an_output_that_is_too_large_with_its_properties_is_replaced() -> None:
    made = bench(echo)
    made.take(1, b"1", "in/amlInput/" + "&".join(f"property{n}=value" for n in range(4000)))
    await asyncio.sleep(1)
    ((topic, body),) = made.line.sent
    assert b"The answer takes" in body
    assert len(topic) < 500
    assert made.counts.dropped == {"too large": 1}
    assert made.line.acknowledged == [1]
