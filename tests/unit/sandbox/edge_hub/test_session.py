import asyncio
from typing import Any

from virtual_time import in_virtual_time, now

from berth_sandbox.azure.edge_hub.session import Session, Stored

INPUT = "devices/d/modules/m/inputs/a/"


class Writer:
    """A connection that keeps what is written."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.aborted = False
        self.transport: Any = self

    def write(self, data: bytes) -> None:
        self.sent.append(data)

    def abort(self) -> None:
        self.aborted = True

    @property
    def bodies(self) -> list[bytes]:
        return [data[-1:] for data in self.sent]

    @property
    def repeated(self) -> list[bool]:
        return [bool(data[0] & 8) for data in self.sent]


def session(writer: Any = None) -> Session:
    made = Session(ack_seconds=30, clock=now)
    made.filters.add("devices/d/modules/m/inputs/#")
    if writer is not None:
        made.attach(writer)
    return made


def stored(body: bytes, expires: float = 1e9) -> Stored:
    return Stored(INPUT, body, expires)


def number_of(data: bytes) -> int:
    start = 4 + int.from_bytes(data[2:4], "big")
    return int.from_bytes(data[start : start + 2], "big")


@in_virtual_time
async def test_one_input_at_a_time_is_without_acknowledgement() -> None:
    writer = Writer()
    made = session(writer)
    for body in (b"1", b"2"):
        made.keep(stored(body))
    assert writer.bodies == [b"1"]
    made.acknowledge(number_of(writer.sent[0]) + 1)
    assert writer.bodies == [b"1"]
    made.acknowledge(number_of(writer.sent[0]))
    assert writer.bodies == [b"1", b"2"]
    made.acknowledge(number_of(writer.sent[1]))
    assert not made.stored


@in_virtual_time
async def test_an_input_that_is_not_acknowledged_comes_again_as_a_duplicate() -> None:
    writer = Writer()
    made = session(writer)
    made.keep(stored(b"1"))
    await asyncio.sleep(65)
    assert writer.bodies == [b"1"] * 3
    assert writer.repeated == [False, True, True]
    assert len({number_of(data) for data in writer.sent}) == 1
    made.acknowledge(number_of(writer.sent[0]))
    await asyncio.sleep(100)
    assert len(writer.sent) == 3


@in_virtual_time
async def test_inputs_wait_for_a_connection_and_its_subscription() -> None:
    made = session()
    made.keep(stored(b"1"))
    writer: Any = Writer()
    made.filters.clear()
    made.attach(writer)
    made.send()
    assert writer.sent == []
    made.filters.add("devices/d/modules/m/inputs/#")
    made.send()
    assert writer.repeated == [False]
    other: Any = Writer()
    made.attach(other)
    made.send()
    assert writer.aborted
    assert other.repeated == [True]


@in_virtual_time
async def test_inputs_that_are_too_old_are_let_go() -> None:
    made = session()
    for body, expires in ((b"1", 5), (b"2", 50)):
        made.keep(stored(body, expires))
    await asyncio.sleep(10)
    writer: Any = Writer()
    made.attach(writer)
    made.send()
    assert writer.bodies == [b"2"]
    assert made.expired == 1


@in_virtual_time
async def test_a_connection_that_was_replaced_does_not_end_the_one_after_it() -> None:
    first: Any = Writer()
    made = session(first)
    second: Any = Writer()
    made.attach(second)
    made.detach(first)
    assert made.writer is second
    made.keep(stored(b"1"))
    made.detach(second)
    await asyncio.sleep(100)
    assert second.bodies == [b"1"]


@in_virtual_time
async def test_what_nobody_hears_is_not_kept() -> None:
    writer: Any = Writer()
    made = session(writer)
    assert made.tell("$iothub/twin/res/200/?$rid=1", b"{}") is False
    made.filters.add("$iothub/twin/res/#")
    assert made.tell("$iothub/twin/res/200/?$rid=1", b"{}") is True
    assert len(writer.sent) == 1
