import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from virtual_time import in_virtual_time, now

from berth_sandbox.azure.edge_hub import packets as server
from berth_scoring.edge.connection import ACK_SECONDS, KEEP_ALIVE_SECONDS, OUTPUTS_AT_ONCE, Connection
from berth_scoring.edge.errors import ConnectionLostError, ProtocolError, RefusedError
from berth_scoring.edge.packets import PING, Publish


class Wire(asyncio.Transport):
    """What is written, with a hub that answers pings for as long as it lives."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self._connection = connection
        self.written: list[bytes] = []
        self.alive = True
        self.closed = False
        connection.connection_made(self)

    def write(self, data: Any) -> None:
        self.written.append(data)
        if data == PING and self.alive:
            self.hear(server.packet(server.Kind.PINGRESP, b""))

    def hear(self, data: bytes) -> None:
        self._connection.data_received(data)

    def acknowledge(self, packet_id: int) -> None:
        self.hear(server.packet(server.Kind.PUBACK, packet_id.to_bytes(2, "big")))

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.abort()

    def abort(self) -> None:
        if not self.closed:
            self.closed = True
            asyncio.get_running_loop().call_soon(self._connection.connection_lost, None)


def connected(take: Callable[[Publish], None] = lambda _: None) -> tuple[Connection, Wire]:
    connection = Connection(take)
    return connection, Wire(connection)


@in_virtual_time
async def test_a_hub_that_lives_is_asked_now_and_then() -> None:
    connection, wire = connected()
    await asyncio.sleep(3600)
    assert not connection.ended.done()
    assert 60 <= wire.written.count(PING) <= 400


@in_virtual_time
async def test_a_hub_that_has_fallen_silent_is_left() -> None:
    connection, wire = connected()
    await asyncio.sleep(100)
    wire.alive = False
    error = await connection.ended
    assert isinstance(error, ConnectionLostError)
    assert now() - 100 <= 2 * KEEP_ALIVE_SECONDS


@in_virtual_time
async def test_a_hub_that_acknowledges_nothing_is_left() -> None:
    connection, _ = connected()
    stored = await connection.publish("t", b"x")
    with pytest.raises(ConnectionLostError, match="not acknowledged"):
        await stored
    assert ACK_SECONDS <= now() <= 1.5 * ACK_SECONDS


@in_virtual_time
async def test_only_so_many_messages_are_under_way() -> None:
    connection, wire = connected()
    sending = [asyncio.create_task(connection.publish("t", b"x")) for _ in range(OUTPUTS_AT_ONCE + 3)]
    await asyncio.sleep(1)
    assert len(wire.written) == OUTPUTS_AT_ONCE
    for packet_id in (2, 1):
        wire.acknowledge(packet_id)
    await asyncio.sleep(1)
    assert len(wire.written) == OUTPUTS_AT_ONCE + 2
    wire.abort()
    outcomes = await asyncio.gather(*sending, return_exceptions=True)
    assert isinstance(outcomes[-1], ConnectionLostError)


@in_virtual_time
async def test_an_acknowledgement_of_nothing_is_let_pass() -> None:
    connection, wire = connected()
    wire.acknowledge(77)
    stored = await connection.publish("t", b"x")
    wire.acknowledge(1)
    wire.acknowledge(1)
    assert (await stored).packet_id == 1


@in_virtual_time
async def test_numbers_of_messages_begin_anew_after_the_last_and_skip_those_in_use() -> None:
    connection, wire = connected()
    kept = await connection.publish("t", b"kept")
    for number in range(2, 0x10000):
        await connection.publish("t", b"")
        wire.acknowledge(number)
        await asyncio.sleep(0)
    stored = await connection.publish("t", b"x")
    wire.acknowledge(2)
    assert (await stored).packet_id == 2
    assert not kept.done()


@in_virtual_time
async def test_what_breaks_the_protocol_ends_the_connection() -> None:
    for broken in (server.packet(server.Kind.CONNECT, b""), b"\x32\x01\x00", b"\x30\xff\xff\xff\xff\xff"):
        connection, wire = connected()
        wire.hear(broken)
        assert isinstance(await connection.ended, ProtocolError)
        with pytest.raises(ProtocolError):
            await connection.publish("t", b"x")


@in_virtual_time
async def test_a_refused_subscription_is_an_error() -> None:
    connection, wire = connected()
    subscribing = asyncio.create_task(connection.subscribe(["a", "b"]))
    await asyncio.sleep(0)
    wire.hear(server.packet(server.Kind.SUBACK, b"\x00\x01\x01\x80"))
    with pytest.raises(RefusedError):
        await subscribing


@in_virtual_time
async def test_messages_are_handed_over_and_acknowledged_apart() -> None:
    taken: list[Publish] = []
    connection, wire = connected(taken.append)
    data = server.publish("a", b"1", 5) + server.publish("b", b"2", 6)
    wire.hear(data[:9])
    wire.hear(data[9:])
    assert [(each.topic, each.packet_id) for each in taken] == [("a", 5), ("b", 6)]
    assert wire.written == []
    connection.acknowledge(6)
    assert wire.written == [b"\x40\x02\x00\x06"]


@in_virtual_time
async def test_leave_is_taken_and_whoever_waits_is_told() -> None:
    connection, wire = connected()
    stored = await connection.publish("t", b"x")
    connection.close()
    assert wire.written[-1] == b"\xe0\x00"
    with pytest.raises(ConnectionLostError):
        await stored
    connection.acknowledge(1)  # too late, and no error
