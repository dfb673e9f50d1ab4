"""One connection to the edge hub, on the event loop."""

import asyncio
import ssl
from collections.abc import Callable, Sequence
from typing import cast

from berth_scoring.edge import packets
from berth_scoring.edge.errors import ConnectionLostError, MqttError, ProtocolError, RefusedError
from berth_scoring.edge.packets import Decoder, Kind, Login, Packet, Publish

PORT = 8883
LARGEST_PACKET = 1024 * 1024
"""Four times what a hub lets through."""
OUTPUTS_AT_ONCE = 16
OPEN_SECONDS = 30.0
ACK_SECONDS = 60.0
"""How long the hub may take for an acknowledgement before it is asked anew, by another connection."""
KEEP_ALIVE_SECONDS = 30
PING_SECONDS = 10.0
LOGIN = 0
"""The number that the answer to CONNECT is kept under; MQTT's own begin with 1."""
REFUSALS = {1: "protocol", 2: "client id", 3: "hub not available", 4: "user name", 5: "token"}


class Connection(asyncio.Protocol):
    """Sends messages and hands over those that arrive, which are acknowledged apart."""

    def __init__(self, on_message: Callable[[Publish], None]) -> None:
        self._on_message = on_message
        self._loop = asyncio.get_running_loop()
        self._decoder = Decoder(LARGEST_PACKET)
        self._window = asyncio.Semaphore(OUTPUTS_AT_ONCE)
        self._awaited: dict[int, tuple[float, asyncio.Future[Packet]]] = {}
        self._last_id = 0
        self._heard = self._loop.time()
        self._transport: asyncio.Transport | None = None
        self._pinging: asyncio.TimerHandle | None = None
        self._failure: MqttError | None = None
        self.ended: asyncio.Future[MqttError] = self._loop.create_future()
        """Why there is no connection any more."""

    async def open(self, host: str, trust: ssl.SSLContext, login: Login) -> None:
        """Connect and log in; raises MqttError or OSError."""
        async with asyncio.timeout(OPEN_SECONDS):
            await self._loop.create_connection(lambda: self, host, PORT, ssl=trust)
            answer = await self._ask(LOGIN, login.packet(KEEP_ALIVE_SECONDS))
        code = answer.body[1] if len(answer.body) > 1 else -1
        if code:
            raise RefusedError(f"the hub refuses the connection: {REFUSALS.get(code, 'unknown reason')}")

    async def subscribe(self, filters: Sequence[str]) -> None:
        """Ask for topics."""
        packet_id = self._free_id()
        answer = await self._ask(packet_id, packets.subscribe(packet_id, filters))
        if any(code > 1 for code in answer.body[2:]):
            raise RefusedError("the hub refuses a subscription")

    async def publish(self, topic: str, payload: bytes) -> asyncio.Future[Packet]:
        """Send a message as soon as few enough are under way; the future ends when the hub has stored it."""
        await self._window.acquire()
        packet_id = self._free_id()
        stored = self._ask(packet_id, packets.publish(topic, payload, packet_id))
        stored.add_done_callback(self._make_room)
        return stored

    def acknowledge(self, packet_id: int) -> None:
        """Tell the hub that it need not keep a message of its own any longer."""
        if packet_id:
            self._write(packets.puback(packet_id))

    def close(self) -> None:
        """Take leave."""
        self._write(packets.DISCONNECT)
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to watch whether the other end lives."""
        self._transport = cast("asyncio.Transport", transport)
        self._heard = self._loop.time()
        self._pinging = self._loop.call_later(PING_SECONDS, self._ping)

    def data_received(self, data: bytes) -> None:
        """Handle the packets that are whole now."""
        self._heard = self._loop.time()
        try:
            for packet in self._decoder.feed(data):
                self._handle(packet)
        except ProtocolError as error:
            self._fail(error)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell all who wait."""
        error = self._failure or ConnectionLostError(f"the connection was lost: {exc or 'the hub closed it'}")
        if self._pinging is not None:
            self._pinging.cancel()
        for _, future in self._awaited.values():
            if not future.done():
                future.set_exception(error)
                future.exception()  # whoever waited may have left, and asyncio would complain
        if not self.ended.done():
            self.ended.set_result(error)

    def _handle(self, packet: Packet) -> None:
        match packet.kind:
            case Kind.PUBLISH:
                self._on_message(Publish.from_packet(packet))
            case Kind.PUBACK | Kind.SUBACK:
                self._settle(packet.packet_id, packet)
            case Kind.CONNACK:
                self._settle(LOGIN, packet)
            case Kind.PINGRESP:
                pass
            case kind:
                raise ProtocolError(f"a packet of the kind {kind}, which only clients send")

    def _settle(self, packet_id: int, packet: Packet) -> None:
        _, future = self._awaited.pop(packet_id, (0, None))
        if future is not None and not future.done():
            future.set_result(packet)

    def _ask(self, packet_id: int, data: bytes) -> asyncio.Future[Packet]:
        future: asyncio.Future[Packet] = self._loop.create_future()
        if self._transport is None or self._transport.is_closing():
            raise self._failure or ConnectionLostError("the connection was lost")
        self._awaited[packet_id] = self._loop.time(), future
        self._transport.write(data)
        return future

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def _make_room(self, _stored: asyncio.Future[Packet]) -> None:
        self._window.release()

    def _free_id(self) -> int:
        while True:
            self._last_id = self._last_id % 0xFFFF + 1
            if self._last_id not in self._awaited:
                return self._last_id

    def _ping(self) -> None:
        now = self._loop.time()
        asked = next((at for at, _ in self._awaited.values()), now)
        if now - self._heard > KEEP_ALIVE_SECONDS:
            self._fail(ConnectionLostError(f"nothing was heard of the hub for {KEEP_ALIVE_SECONDS} s"))
        elif now - asked > ACK_SECONDS:
            self._fail(ConnectionLostError(f"the hub has not acknowledged a message for {ACK_SECONDS:.0f} s"))
        else:
            self._write(packets.PING)
            self._pinging = self._loop.call_later(PING_SECONDS, self._ping)

    def _fail(self, why: MqttError) -> None:
        self._failure = why
        if self._transport is not None:
            self._transport.abort()
