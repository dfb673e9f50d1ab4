"""MQTT 3.1.1 as a server sees it."""

import asyncio
from dataclasses import dataclass
from enum import IntEnum
from typing import Self

MOST_LENGTH_BYTES = 4
MORE = 128
"""Marks a byte of a length that is not the last one."""
CREDENTIALS, WILL = 0xC0, 0x04
"""Flags of CONNECT."""


class PacketError(Exception):
    """The client does not speak MQTT 3.1.1, or sends more than may be."""


class Kind(IntEnum):
    """What clients send, and what they are answered."""

    CONNECT = 1
    CONNACK = 2
    PUBLISH = 3
    PUBACK = 4
    SUBSCRIBE = 8
    SUBACK = 9
    UNSUBSCRIBE = 10
    UNSUBACK = 11
    PINGREQ = 12
    PINGRESP = 13
    DISCONNECT = 14


@dataclass(frozen=True)
class Packet:
    """One packet of a client."""

    kind: Kind
    flags: int
    body: bytes


class Body:
    """Reads the fields of a packet one after the other."""

    def __init__(self, body: bytes) -> None:
        self.rest = body

    def number(self) -> int:
        """Take two bytes."""
        return int.from_bytes(self._take(2), "big")

    def byte(self) -> int:
        """Take one byte."""
        return self._take(1)[0]

    def text(self) -> str:
        """Take a text with its length."""
        try:
            return self._take(self.number()).decode()
        except UnicodeDecodeError as error:
            raise PacketError("a text is not UTF-8") from error

    def _take(self, count: int) -> bytes:
        if count > len(self.rest):
            raise PacketError("a packet ends too early")
        taken, self.rest = self.rest[:count], self.rest[count:]
        return taken


@dataclass(frozen=True)
class Connect:
    """Who wants to connect."""

    client_id: str
    username: str
    password: str
    clean: bool
    keep_alive: int

    @classmethod
    def from_body(cls, body: bytes) -> Self:
        """Read CONNECT; it must bring a user name and a password."""
        fields = Body(body)
        name, level, flags, keep_alive = fields.text(), fields.byte(), fields.byte(), fields.number()
        if (name, level) != ("MQTT", 4) or flags & (CREDENTIALS | WILL) != CREDENTIALS:
            raise PacketError("CONNECT is not of MQTT 3.1.1 with user name and password, without a will")
        return cls(fields.text(), fields.text(), fields.text(), bool(flags & 2), keep_alive)


async def read(reader: asyncio.StreamReader, limit: int) -> Packet:
    """Read the next packet of at most `limit` bytes."""
    first = (await reader.readexactly(1))[0]
    length = 0
    for index in range(MOST_LENGTH_BYTES):
        byte = (await reader.readexactly(1))[0]
        length |= (byte % MORE) << 7 * index
        if byte < MORE:
            break
    else:
        raise PacketError("a length has more than four bytes")
    if length > limit:
        raise PacketError(f"a packet has {length} bytes, at most {limit} may be")
    try:
        return Packet(Kind(first >> 4), first & 15, await reader.readexactly(length))
    except ValueError as error:
        raise PacketError(f"there is no packet of the kind {first >> 4}") from error


def packet(kind: Kind, body: bytes, flags: int = 0) -> bytes:
    """Write a packet."""
    length, rest = bytearray(), len(body)
    while rest >= MORE:
        length.append(rest % MORE | MORE)
        rest //= MORE
    length.append(rest)
    return bytes([kind << 4 | flags]) + length + body


def publish(topic: str, payload: bytes, packet_id: int, *, duplicate: bool = False) -> bytes:
    """Write a message that is sent at least once."""
    encoded = topic.encode()
    body = len(encoded).to_bytes(2, "big") + encoded + packet_id.to_bytes(2, "big") + payload
    return packet(Kind.PUBLISH, body, 2 | 8 * duplicate)
