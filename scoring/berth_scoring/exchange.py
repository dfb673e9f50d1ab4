"""One request and its answer, as ASGI sees them."""

import asyncio
import logging
from typing import Any, Protocol

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE
from uvicorn.server import ServerState

logger = logging.getLogger(__name__)

Message = dict[str, Any]

HIGH_WATER = 256 * 1024
FAILURE: list[Message] = [
    {"type": "http.response.start", "status": 500, "headers": [(b"content-length", b"0")]},
    {"type": "http.response.body", "body": b""},
]
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Carrier(Protocol):
    """What brings requests and takes answers away."""

    app: Any
    server: ServerState
    loop: asyncio.AbstractEventLoop
    flow: FlowControl
    transport: asyncio.Transport

    def on_answered(self, exchange: "Exchange") -> None:
        """Go on after an answer."""


class Exchange:
    """Hands the application its request, and writes the answer in one piece."""

    __slots__ = (
        "_arrived",
        "_changed",
        "_connection",
        "_end_told",
        "_pieces",
        "_scope",
        "_start",
        "_waited",
        "abandoned",
        "answered",
        "begun",
        "keep_alive",
        "task",
        "whole",
    )

    def __init__(self, connection: Carrier, scope: Message, *, keep_alive: bool) -> None:
        self._connection = connection
        self._scope = scope
        self._pieces: list[bytes] = []
        self._arrived = 0
        self._start: Message = {}
        self._changed: asyncio.Event | None = None
        self._end_told = False
        self._waited = False
        self.keep_alive = keep_alive
        self.begun = False
        """Whether it has its place in the order of answers."""
        self.whole = False
        """Whether the request has been read to its end."""
        self.answered = False
        self.abandoned = False
        self.task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Let the application answer."""
        self.task = self._connection.loop.create_task(self._run())

    def add(self, piece: bytes) -> None:
        """Keep a piece of the body until the application asks for it."""
        if self.answered:
            return
        self._pieces.append(piece)
        if self.begun:
            self._arrived += len(piece)
            if self._arrived > HIGH_WATER:
                self._connection.flow.pause_reading()
            self._notify()

    def end(self) -> None:
        """Note that there is no more of it."""
        self.whole = True
        self._notify()

    def abandon(self) -> None:
        """Note that nobody waits for the answer."""
        self.abandoned = True
        self._notify()

    async def _run(self) -> None:
        try:
            await self._connection.app(self._scope, self._receive, self._send)
        except Exception:  # a client gets an answer even where there is a bug
            logger.exception("The application failed")
            for message in FAILURE if not self.answered else ():
                await self._send(message)

    async def _receive(self) -> Message:
        """Return the body as far as it is there, and after it that the client has left, once it has."""
        while not self._is_over() and (self._end_told or not (self.whole or self._pieces)):
            await self._change()
        if self._is_over():
            return {"type": "http.disconnect"}
        self._end_told = self.whole
        body = b"".join(self._pieces)
        self._pieces.clear()
        self._arrived = 0
        return {"type": "http.request", "body": body, "more_body": not self.whole}

    def _is_over(self) -> bool:
        return self.answered or self.abandoned

    async def _change(self) -> None:
        if not self.whole:
            self._ask_for_more()
        self._changed = self._changed or asyncio.Event()
        self._changed.clear()
        await self._changed.wait()

    def _ask_for_more(self) -> None:
        self._connection.flow.resume_reading()
        if not self._waited:
            self._waited = True
            if dict(self._scope["headers"]).get(b"expect", b"").lower() == b"100-continue":
                self._connection.transport.write(CONTINUE)

    def _notify(self) -> None:
        if self._changed is not None:
            self._changed.set()

    async def _send(self, message: Message) -> None:
        """Keep the head until the body is there, then write both."""
        if message["type"] == "http.response.start":
            self._start = message
            return
        if self._connection.flow.write_paused and not self.abandoned:
            await self._connection.flow.drain()
        if not self.abandoned:
            self._write(message["body"])

    def _write(self, body: bytes) -> None:
        connection = self._connection
        parts = [STATUS_LINE[self._start["status"]]]
        for name, value in (*connection.server.default_headers, *self._start["headers"]):
            if name == b"connection":
                self.keep_alive = self.keep_alive and value != b"close"
            else:
                parts += (name, b": ", value, b"\r\n")
        if not self.keep_alive:
            parts.append(b"connection: close\r\n")
        parts.append(b"\r\n")
        if self._scope["method"] != "HEAD":
            parts.append(body)
        connection.transport.write(b"".join(parts))
        self.answered = True
        self._pieces.clear()
        self._notify()
        connection.on_answered(self)
