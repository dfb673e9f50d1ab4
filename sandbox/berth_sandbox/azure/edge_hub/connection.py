"""One connection of a module to the hub."""

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from berth_sandbox.azure.edge_hub.messages import Identity, Message
from berth_sandbox.azure.edge_hub.packets import Body, Connect, Kind, Packet, PacketError, packet, read
from berth_sandbox.azure.edge_hub.session import Session

if TYPE_CHECKING:
    from berth_sandbox.azure.edge_hub.hub import EdgeHub

LARGEST_PACKET = 262_144
NOT_AUTHORIZED = 5


class Client:
    """Reads what a module sends and does it."""

    def __init__(self, hub: "EdgeHub", reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._hub = hub
        self._reader = reader
        self._writer = writer
        self._slow: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        """Serve until the module leaves, is cut off, or breaks the rules."""
        with suppress(PacketError, OSError, asyncio.IncompleteReadError, TimeoutError):
            identity, expires = await self._log_in()
            session = self._hub.sessions[identity.module]
            session.attach(self._writer)
            self._hub.connections[identity.module] += 1
            try:
                async with asyncio.timeout(expires - time.time()):
                    await self._converse(identity, session)
            finally:
                session.detach(self._writer)
        for task in self._slow:
            task.cancel()
        self._writer.transport.abort()

    async def _log_in(self) -> tuple[Identity, float]:
        first = await read(self._reader, LARGEST_PACKET)
        if first.kind is not Kind.CONNECT:
            raise PacketError("the first packet is not CONNECT")
        connect = Connect.from_body(first.body)
        identity = Identity.from_client_id(connect.client_id)
        expires = None
        if identity is not None:
            expires = self._hub.expiry(identity, connect.username, connect.password)
        code = self._hub.faults.refuse or (0 if expires else NOT_AUTHORIZED)
        if code or identity is None or expires is None:
            self._hub.refusals[connect.client_id] += 1
            self._writer.write(packet(Kind.CONNACK, bytes([0, code])))
            await self._writer.drain()
            self._writer.close()
            raise PacketError("the login is not good")
        session = self._hub.sessions[identity.module]
        if connect.clean:
            session.filters.clear()
        self._writer.write(packet(Kind.CONNACK, bytes([bool(session.filters), 0])))
        return identity, expires

    async def _converse(self, identity: Identity, session: Session) -> None:
        session.send()
        while True:
            received = await read(self._reader, LARGEST_PACKET)
            await self._hub.faults.flowing.wait()
            match received.kind:
                case Kind.PUBLISH:
                    self._take(identity, received)
                case Kind.PUBACK:
                    session.acknowledge(Body(received.body).number())
                case Kind.SUBSCRIBE:
                    self._subscribe(session, received)
                case Kind.UNSUBSCRIBE:
                    session.filters.discard(Body(received.body[2:]).text())
                    self._writer.write(packet(Kind.UNSUBACK, received.body[:2]))
                case Kind.PINGREQ:
                    self._writer.write(packet(Kind.PINGRESP, b""))
                case Kind.DISCONNECT:
                    return
                case kind:
                    raise PacketError(f"a client does not send {kind.name}")
            await self._writer.drain()

    def _take(self, identity: Identity, received: Packet) -> None:
        fields = Body(received.body)
        topic = fields.text()
        packet_id = fields.number() if received.flags & 6 else 0
        events = f"{identity.base}/messages/events/"
        if topic.startswith(events):
            self._hub.deliver(Message.from_topic(identity, topic.removeprefix(events), fields.rest))
            if self._hub.faults.lose_acknowledgements[identity.module]:
                self._hub.faults.lose_acknowledgements[identity.module] -= 1
                self._writer.transport.abort()
                return
        elif topic.startswith("$iothub/twin/"):
            self._hub.about_twin(identity.module, topic, fields.rest)
        elif topic.startswith("$iothub/methods/res/"):
            self._hub.answered(topic, fields.rest)
        else:
            raise PacketError(f"{identity.module} may not publish to {topic}")
        if packet_id:
            self._acknowledge(packet(Kind.PUBACK, packet_id.to_bytes(2, "big")))

    def _acknowledge(self, answer: bytes) -> None:
        if seconds := self._hub.faults.slow_seconds:
            task = asyncio.get_running_loop().create_task(self._later(answer, seconds))
            self._slow.add(task)
            task.add_done_callback(self._slow.discard)
        else:
            self._writer.write(answer)

    async def _later(self, answer: bytes, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self._writer.write(answer)

    def _subscribe(self, session: Session, received: Packet) -> None:
        fields = Body(received.body)
        packet_id, granted = fields.number(), bytearray()
        while fields.rest:
            session.filters.add(fields.text())
            granted.append(min(fields.byte(), 1))
        self._writer.write(packet(Kind.SUBACK, packet_id.to_bytes(2, "big") + granted))
        session.send()
