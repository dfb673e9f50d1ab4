"""A shorter way through uvicorn for requests that arrive whole, which is nearly all of them."""

import asyncio
import logging
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

logger = logging.getLogger(__name__)

Message = dict[str, Any]

FAILURE: list[Message] = [
    {"type": "http.response.start", "status": 500, "headers": [(b"content-length", b"0")]},
    {"type": "http.response.body", "body": b""},
]


class Connection(HttpToolsProtocol):
    """uvicorn's connection, except that a request which came in one read skips what the others need.

    Its body is not awaited, its answer is one write, and the connection's keep-alive timer is not made anew.
    Bodies of several reads, pipelined requests, `Expect` and upgrades are left to uvicorn.
    """

    _pending = False
    """Whether the headers of a request were read and its end was not."""
    _idle_timer: asyncio.TimerHandle | None = None
    _idle_since = 0.0

    def data_received(self, data: bytes) -> None:
        """Parse what was read; a request that goes on in the next read is uvicorn's."""
        super().data_received(data)
        if self._pending:
            self._leave_to_uvicorn()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timer."""
        super().connection_lost(exc)
        if self._idle_timer is not None:
            self._idle_timer.cancel()

    def on_headers_complete(self) -> None:
        """Wait for the end of the request, unless it is uvicorn's in any case."""
        self._chunks: list[bytes] = []
        self._pending = True
        if self._is_answering() or self.expect_100_continue or self.parser.should_upgrade():
            self._leave_to_uvicorn()

    def on_body(self, body: bytes) -> None:
        """Keep a piece of the body."""
        if self._pending:
            self._chunks.append(body)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Answer a request that is whole."""
        if not self._pending:
            super().on_message_complete()
            return
        self._pending = False
        keep_alive: bool = self.parser.should_keep_alive()
        cycle = WholeCycle(self, b"".join(self._chunks), keep_alive=keep_alive)
        self.cycle = cycle  # type: ignore[assignment] # it has what the base class uses of one
        cycle.task = self.loop.create_task(cycle.run(self._request_scope()))

    def on_response_complete(self) -> None:
        """Go on with a pipelined request, or wait for the next one."""
        if self.pipeline:
            super().on_response_complete()
            return
        self._idle_since = self.loop.time()
        if self._idle_timer is None:
            self._check_idle()

    def _is_answering(self) -> bool:
        cycle: WholeCycle | RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.response_complete

    def _leave_to_uvicorn(self) -> None:
        self._pending = False
        super().on_headers_complete()
        for chunk in self._chunks:
            super().on_body(chunk)

    def _request_scope(self) -> dict[str, Any]:
        path, query = _split_url(self.url)
        scope: dict[str, Any] = self.scope  # type: ignore[assignment] # uvicorn fills it step by step as well
        scope["method"] = self.parser.get_method().decode("ascii")
        scope["path"] = path
        scope["query_string"] = query
        return scope

    def _check_idle(self) -> None:
        # The timer runs on while requests come and go: to move it for each would cost more than this.
        left = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left <= 0 and not self._is_answering():
            self.transport.close()
        else:
            self._idle_timer = self.loop.call_later(max(left, 1.0), self._check_idle)


@lru_cache(maxsize=256)
def _split_url(url: bytes) -> tuple[str, bytes]:
    parsed = httptools.parse_url(url)
    return unquote(parsed.path.decode("ascii")), parsed.query or b""


class WholeCycle:
    """The ASGI side of one request whose body is there, and whose answer is made in one piece."""

    __slots__ = (
        "_body",
        "_connection",
        "_start",
        "_wants_body",
        "disconnected",
        "keep_alive",
        "message_event",
        "response_complete",
        "task",
    )

    def __init__(self, connection: Connection, body: bytes, *, keep_alive: bool) -> None:
        self._connection = connection
        self._body: bytes | None = body
        self._start: Message = {}
        self._wants_body = True
        self.keep_alive = keep_alive
        self.disconnected = False
        self.response_complete = False
        self.message_event = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    async def run(self, scope: Message) -> None:
        """Let the application answer."""
        self._wants_body = scope["method"] != "HEAD"
        try:
            await self._connection.app(scope, self.receive, self.send)
        except Exception:
            logger.exception("The application failed")
            for message in FAILURE if not self.response_complete else ():
                await self.send(message)

    async def receive(self) -> Message:
        """Return the body, and after it that the client has left, once it has."""
        body, self._body = self._body, None
        if body is not None:
            return {"type": "http.request", "body": body, "more_body": False}
        if not self.disconnected and not self.response_complete:
            await self.message_event.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Keep the head until the body is there, then write both."""
        if message["type"] == "http.response.start":
            self._start = message
            return
        if self._connection.flow.write_paused and not self.disconnected:
            await self._connection.flow.drain()
        if not self.disconnected:
            self._write(message["body"])

    def _write(self, body: bytes) -> None:
        connection = self._connection
        parts = [STATUS_LINE[self._start["status"]]]
        for name, value in (*connection.server_state.default_headers, *self._start["headers"]):
            if name == b"connection":
                self.keep_alive = self.keep_alive and value != b"close"
            else:
                parts += (name, b": ", value, b"\r\n")
        if not self.keep_alive:
            parts.append(b"connection: close\r\n")
        parts.append(b"\r\n")
        if self._wants_body:
            parts.append(body)
        connection.transport.write(b"".join(parts))
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            connection.transport.close()
        connection.on_response_complete()
