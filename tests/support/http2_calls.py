"""Calls of gRPC frame by frame: for clients that misbehave, and times without a client's library."""

import socket
import struct
from collections.abc import Iterator
from typing import Self

DATA, HEADERS, RESET, SETTINGS, PING, GOAWAY, WINDOW = 0, 1, 3, 4, 6, 7, 8
END_STREAM, ACK, END_HEADERS = 1, 1, 4
INITIAL_WINDOW, FRAME_SIZE = 4, 5
LARGEST_WINDOW = 2**31 - 1


def frame(kind: int, payload: bytes, flags: int = 0, stream: int = 0) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def header(name: bytes, value: bytes) -> bytes:
    return bytes([0, len(name)]) + name + bytes([len(value)]) + value


def framed(message: bytes) -> bytes:
    """Return a message as gRPC sends it: uncompressed, after its length."""
    return b"\0" + len(message).to_bytes(4, "big") + message


class Http2Connection:
    """One connection to a server on loopback, with one call at a time."""

    def __init__(self, port: int, path: str) -> None:
        fields = {
            b":method": b"POST",
            b":scheme": b"http",
            b":path": path.encode(),
            b":authority": b"localhost",
            b"te": b"trailers",
            b"content-type": b"application/grpc",
        }
        self._headers = b"".join(header(name, value) for name, value in fields.items())
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._incoming = self._socket.makefile("rb")
        self._stream = -1
        self._initial = self._window = self._stream_window = 65_535
        self._frame_size = 16_384
        more = frame(WINDOW, (LARGEST_WINDOW - 65_535).to_bytes(4, "big"))
        self._socket.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, b"") + more)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._incoming.close()
        self._socket.close()

    def begin(self, message: bytes) -> None:
        """Send the first half of a message, and no more."""
        whole = framed(message)
        half = frame(DATA, whole[: len(whole) // 2], stream=self._next_stream())
        self._socket.sendall(self._head() + half)

    def call(self, message: bytes) -> bytes:
        """Return the answer to a message, as gRPC frames it."""
        self._next_stream()
        left, start = memoryview(framed(message)), self._head()
        while left:
            size = min(len(left), self._window, self._stream_window, self._frame_size)
            if size > 0:
                last = END_STREAM if size == len(left) else 0
                piece = frame(DATA, bytes(left[:size]), last, self._stream)
                self._window, self._stream_window = self._window - size, self._stream_window - size
                self._socket.sendall(start + piece)
                start, left = b"", left[size:]
            else:
                next(self.frames())
        answer = b""
        for kind, flags, stream, payload in self.frames():
            if stream == self._stream:
                answer += payload if kind == DATA else b""
                assert kind not in {RESET, GOAWAY}
                if flags & END_STREAM:
                    return answer
        raise AssertionError("the connection has ended")

    def frames(self) -> Iterator[tuple[int, int, int, bytes]]:
        """Yield kind, flags, stream and payload of what comes, until the server closes."""
        while head := self._incoming.read(9):
            payload = self._incoming.read(int.from_bytes(head[:3], "big"))
            found = head[3], head[4], int.from_bytes(head[5:9], "big"), payload
            self._take(found)
            yield found

    def _next_stream(self) -> int:
        self._stream += 2
        self._stream_window = self._initial
        return self._stream

    def _head(self) -> bytes:
        return frame(HEADERS, self._headers, END_HEADERS, self._stream)

    def _take(self, found: tuple[int, int, int, bytes]) -> None:
        kind, flags, stream, payload = found
        if kind == WINDOW:
            more = int.from_bytes(payload, "big")
            self._window += more if stream == 0 else 0
            self._stream_window += more if stream == self._stream else 0
        elif kind == PING and not flags & ACK:
            self._socket.sendall(frame(PING, payload, ACK))
        elif kind == SETTINGS and not flags & ACK:
            for name, value in struct.iter_unpack(">HI", payload):
                if name == INITIAL_WINDOW:
                    self._stream_window += value - self._initial
                    self._initial = value
                self._frame_size = value if name == FRAME_SIZE else self._frame_size
            self._socket.sendall(frame(SETTINGS, b"", ACK))
