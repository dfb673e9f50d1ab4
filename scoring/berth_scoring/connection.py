"""HTTP/1.1 on one connection, as uvicorn's server wants it: the parser is httptools, the rest is here."""

import asyncio
import json
import logging
from collections import deque
from collections.abc import Callable
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

import httptools
import uvicorn
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE
from uvicorn.server import ServerState

from berth_scoring.exchange import Exchange

logger = logging.getLogger(__name__)

HEAD_LIMIT = 320 * 1024
"""64 KiB, and what else one read of the socket may bring."""
SHORT_URL = 1024
"""Those that are shorter are worth keeping in memory: they are always the same few."""
RECEIVE_SECONDS = 30.0
RECEIVE_BYTES = 1024 * 1024
"""In so many seconds so much of a request has to come, or its end."""
LINGER_SECONDS = 2.0
"""How long what a client still sends is read after its answer: to close at once would take that from it."""


class Connection(asyncio.Protocol):
    """Reads requests and has each answered by the application, in their order.

    A request that is there after one read, which nearly all are, takes no timer and no event on its way. The
    application is called before the end of one that is not, so that it may refuse what it need not read.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],  # noqa: ARG002 - uvicorn passes it to every protocol
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.app: Any = config.loaded_app
        self.server = server_state
        self.loop = _loop or asyncio.get_running_loop()
        self._keep_alive_seconds = config.timeout_keep_alive
        self._parser = httptools.HttpRequestParser(self)
        self._feed: Callable[[bytes], None] = self._parser.feed_data
        self._exchanges: deque[Exchange] = deque()
        self._unfinished = False
        self._receiving: Exchange | None = None
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._overhead = 0
        self._received = 0
        self._patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # it is TCP's
        """Greet a client."""
        self.transport = transport
        self.flow = FlowControl(transport)
        self.server.connections.add(self)  # type: ignore[arg-type] # a set of uvicorn's own protocols
        self._idle_since = self.loop.time()
        self._check_idle()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Tell those who still work on an answer."""
        self.server.connections.discard(self)
        self._stop_parsing()
        del self._parser
        self._idle_timer.cancel()
        for exchange in self._exchanges:
            exchange.abandon()
        self.flow.resume_writing()

    def pause_writing(self) -> None:
        """Let answers wait for a client that does not read."""
        self.flow.pause_writing()

    def resume_writing(self) -> None:
        """Let them go on."""
        self.flow.resume_writing()

    def shutdown(self) -> None:
        """Close once everything is answered; uvicorn calls this when the server ends."""
        if self._exchanges:
            self._exchanges[-1].keep_alive = False
        else:
            self.transport.close()
            if not self.flow.write_paused:
                # TLS waits for the client's word, which one that pools the connection does not give.
                self.loop.call_later(LINGER_SECONDS, self.transport.abort)

    def data_received(self, data: bytes) -> None:
        """Parse what was read."""
        try:
            self._feed(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._decline_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            self._refuse(400, f"Invalid HTTP request: {error}")
        if self._unfinished:
            self._await_rest(len(data))

    def on_message_begin(self) -> None:
        """Forget the request before."""
        self._unfinished = True
        self._url = b""
        self._headers = []
        self._overhead = 0

    def on_url(self, url: bytes) -> None:
        """Keep the URL, or a piece of it."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header."""
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Make an exchange of the request, unless it has to be parsed once more."""
        parser = self._parser
        if parser.should_upgrade():
            return
        url = self._url
        path, query = _split_short_url(url) if len(url) < SHORT_URL else _split_url(url)
        keep_alive = parser.should_keep_alive() and parser.get_http_version() != "1.0"
        scope = {
            "type": "http",
            "method": parser.get_method().decode("ascii"),
            "path": path,
            "query_string": query,
            "headers": self._headers,
        }
        self._receiving = Exchange(self, scope, keep_alive=keep_alive)
        # What else comes are trailers, which nobody reads: they could pass for headers that were checked.
        self._headers = []

    def on_body(self, body: bytes) -> None:
        """Keep a piece of the body."""
        self._overhead = 0
        if self._receiving is not None:
            self._receiving.add(body)

    def on_message_complete(self) -> None:
        """Have a request answered that is whole."""
        exchange, self._receiving = self._receiving, None
        if exchange is None:
            return
        self._unfinished = False
        if self._patience is not None:
            self._end_patience()
        exchange.end()
        if not exchange.begun:
            self._begin(exchange)
        elif exchange.answered:
            self._go_on()

    def on_answered(self, exchange: Exchange) -> None:
        """Go on with a pipelined request, or wait for the next one, or close."""
        self._exchanges.popleft()
        if not exchange.whole:
            self._linger(exchange)
        elif exchange.keep_alive:
            self._go_on()
        elif self._feed is _discard:
            self._close_softly()
        else:
            self.transport.close()

    def _begin(self, exchange: Exchange) -> None:
        exchange.begun = True
        self._exchanges.append(exchange)
        if len(self._exchanges) == 1:
            exchange.start()
        else:
            self.flow.pause_reading()

    def _go_on(self) -> None:
        self._idle_since = self.loop.time()
        if self._exchanges:
            self._exchanges[0].start()
        elif not self.transport.is_closing():
            self.flow.resume_reading()

    def _await_rest(self, size: int) -> None:
        self._overhead += size
        self._received += size
        if self._overhead > HEAD_LIMIT:
            self._refuse(431, "The head of the request is too large")
            return
        if self._patience is None:
            self._received = size
            self._patience = self.loop.call_later(RECEIVE_SECONDS, self._check_patience)
        if self._receiving is not None and not self._receiving.begun:
            self._begin(self._receiving)

    def _check_patience(self) -> None:
        # While reading is paused, it is not the client who does not go on.
        if self._received < RECEIVE_BYTES and not self.flow.read_paused:
            self._refuse(408, "The request did not come to its end in time")
            return
        self._received = 0
        self._patience = self.loop.call_later(RECEIVE_SECONDS, self._check_patience)

    def _end_patience(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _check_idle(self) -> None:
        # The timer runs on while requests come and go: to move it for each would cost more than this.
        left = self._idle_since + self._keep_alive_seconds - self.loop.time()
        if left <= 0 and not self._exchanges and self._patience is None:
            self.transport.close()
        self._idle_timer = self.loop.call_later(max(left, 1.0), self._check_idle)

    def _decline_upgrade(self, rest: bytes) -> None:
        # HTTP lets a server ignore the offer, but with it the parser takes the body for the other protocol.
        method = self._parser.get_method()
        if method == b"CONNECT" or self._exchanges:
            self._refuse(400, "No other protocol is spoken here")
            return
        first = b"%s %s HTTP/%s" % (method, self._url, self._parser.get_http_version().encode())
        lines = [b"%s: %s" % header for header in self._headers if header[0] != b"upgrade"]
        self._parser = httptools.HttpRequestParser(self)
        self._feed = self._parser.feed_data
        self.data_received(b"\r\n".join([first, *lines, b"", rest]))

    def _refuse(self, status: int, message: str) -> None:
        """Give up on a client that does not speak HTTP as it should, once all before is answered."""
        logger.warning("A connection is refused: %s", message)
        if self._exchanges and not self._exchanges[-1].whole:
            self._exchanges.pop().abandon()
        answered = self._receiving is not None and self._receiving.answered
        self._stop_parsing()
        if self._exchanges:
            self._exchanges[-1].keep_alive = False
            return
        if not answered:
            body = json.dumps({"message": message}).encode()
            head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
            self.transport.write(STATUS_LINE[status] + head % len(body) + body)
        self._close_softly()

    def _linger(self, exchange: Exchange) -> None:
        """Read on after an answer that came before the end of its request."""
        self.flow.resume_reading()
        if exchange.keep_alive:
            self._end_patience()
            self._patience = self.loop.call_later(LINGER_SECONDS, self.transport.close)
        else:
            self._stop_parsing()
            self._close_softly()

    def _stop_parsing(self) -> None:
        self._end_patience()
        self._feed = _discard
        self._unfinished = False
        self._receiving = None

    def _close_softly(self) -> None:
        self._patience = self.loop.call_later(LINGER_SECONDS, self.transport.close)
        if not self.transport.is_closing():
            if self.transport.can_write_eof():  # TLS cannot
                self.transport.write_eof()
            self.flow.resume_reading()


def _discard(_data: bytes) -> None:
    """Stand for a parser whose connection has ended."""


def _split_url(url: bytes) -> tuple[str, bytes]:
    parsed = httptools.parse_url(url)
    return unquote(parsed.path.decode("ascii")), parsed.query or b""


_split_short_url = lru_cache(maxsize=256)(_split_url)
