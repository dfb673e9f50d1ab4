"""The part of MQTT 3.1.1 that a module needs, as bytes: no sockets here."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Self

from berth_scoring.edge.errors import ProtocolError

LEVEL = 4
CLEAN_SESSION_OFF = 0xC0
"""Flags of CONNECT: a user name, a password, and the session of before."""
AT_LEAST_ONCE = 0x02
DUPLICATE = 0x08
LENGTH_BYTES = 4


class Kind(IntEnum):
    """The packets that are sent or understood."""

    CONNECT = 1
    CONNACK = 2
    PUBLISH = 3
    PUBACK = 4
    SUBSCRIBE = 8
    SUBACK = 9
    PINGREQ = 12
    PINGRESP = 13
    DISCONNECT = 14


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet as it arrived; its body is what follows the length."""

    kind: int
    flags: int
    body: bytes

    @property
    def packet_id(self) -> int:
        """The number at the start of the body, which names the packet that is acknowledged."""
        if len(self.body) < 2:  # noqa: PLR2004
            raise ProtocolError("an acknowledgement without a number")
        return int.from_bytes(self.body[:2], "big")


@dataclass(frozen=True, slots=True)
class Publish:
    """A message of the hub; one with packet id 0 wants no acknowledgement."""

    topic: str
    payload: bytes
    packet_id: int = 0
    duplicate: bool = False

    @classmethod
    def from_packet(cls, packet: Packet) -> Self:
        """Read a PUBLISH of quality 0 or 1."""
        quality = packet.flags >> 1 & 3
        end = 2 + int.from_bytes(packet.body[:2], "big")
        start = end + 2 * (quality > 0)
        if quality > 1 or start > len(packet.body):
            raise ProtocolError("a message that ends within its head, or is of an unknown quality")
        try:
            topic = packet.body[2:end].decode()
        except UnicodeDecodeError as error:
            raise ProtocolError("a topic that is not UTF-8") from error
        packet_id = int.from_bytes(packet.body[end:start], "big")
        return cls(topic, packet.body[start:], packet_id, bool(packet.flags & DUPLICATE))


class Decoder:
    """Cuts a stream of bytes into packets of at most `limit` bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterator[Packet]:
        """Yield the packets that are whole now."""
        self._rest += data
        start = 0
        while (head := self._head(start)) is not None:
            body, end = head
            if end > len(self._rest):
                break
            first = self._rest[start]
            yield Packet(first >> 4, first & 15, bytes(self._rest[body:end]))
            start = end
        del self._rest[:start]

    def _head(self, start: int) -> tuple[int, int] | None:
        """Return where the body of the packet at `start` begins and ends, once its length is there."""
        length = 0
        for index, byte in enumerate(self._rest[start + 1 : start + 1 + LENGTH_BYTES]):
            length |= (byte & 127) << 7 * index
            if byte < 128:  # noqa: PLR2004 - the highest bit says that more follows
                body = start + 2 + index
                if length > self._limit:
                    raise ProtocolError(f"a packet of {length} bytes, where at most {self._limit} fit")
                return body, body + length
            if index == LENGTH_BYTES - 1:
                raise ProtocolError("a length of more than four bytes")
        return None


@dataclass(frozen=True, slots=True)
class Login:
    """Who asks for a connection."""

    client_id: str
    username: str
    password: str

    def packet(self, keep_alive_seconds: int) -> bytes:
        """Ask for the session of before, or a new one."""
        head = _text("MQTT") + bytes([LEVEL, CLEAN_SESSION_OFF]) + _number(keep_alive_seconds)
        return _packet(
            Kind.CONNECT << 4, head + _text(self.client_id) + _text(self.username) + _text(self.password)
        )


def publish(topic: str, payload: bytes, packet_id: int) -> bytes:
    """Send a message at least once."""
    return _packet(Kind.PUBLISH << 4 | AT_LEAST_ONCE, _text(topic) + _number(packet_id) + payload)


def publish_length(topic: str, payload: bytes) -> int:
    """Return what a hub counts as the length of such a message."""
    return len(topic.encode()) + len(payload) + 4


def puback(packet_id: int) -> bytes:
    """Acknowledge a message."""
    return bytes([Kind.PUBACK << 4, 2]) + _number(packet_id)


def subscribe(packet_id: int, filters: Sequence[str]) -> bytes:
    """Ask for topics, at least once each."""
    wanted = b"".join(_text(each) + b"\x01" for each in filters)
    return _packet(Kind.SUBSCRIBE << 4 | AT_LEAST_ONCE, _number(packet_id) + wanted)


PING = bytes([Kind.PINGREQ << 4, 0])
DISCONNECT = bytes([Kind.DISCONNECT << 4, 0])


def _packet(first: int, body: bytes) -> bytes:
    length, rest = bytearray(), len(body)
    while rest > 127:  # noqa: PLR2004
        length.append(rest & 127 | 128)
        rest >>= 7
    length.append(rest)
    return bytes([first]) + length + body


def _text(text: str) -> bytes:
    encoded = text.encode()
    return _number(len(encoded)) + encoded


def _number(number: int) -> bytes:
    return number.to_bytes(2, "big")
