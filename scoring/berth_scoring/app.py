"""From ASGI to a route and back: the way of every request."""

import itertools
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from berth_scoring.access_log import AccessLog
from berth_scoring.auth import KeyRing
from berth_scoring.bodies import DEFAULT_BODY_LIMIT, Bodies, check_length
from berth_scoring.cors import Cors
from berth_scoring.messages import Disconnected, Handler, Refusal, Request, Response
from berth_scoring.metrics import RouteMetrics

REQUEST_ID_LIMIT = 100
CLIENT_CLOSED = 499
"""What log and metrics say of a request whose client did not wait."""

WITHOUT_BODY = {204, 304}
"""What follows such an answer would be taken for the next one."""

NOT_FOUND = (
    "The requested URL was not found on the server."
    " If you entered the URL manually please check your spelling and try again."
)
INTERNAL_ERROR = "An unexpected internal error occurred. Check the logs for more info."

logger = logging.getLogger(__name__)

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Route:
    """What one path answers: a handler per method, and a refusal in the words of its protocol."""

    handlers: Mapping[str, Handler]
    refuse: Callable[[Refusal], Response]
    metrics: RouteMetrics
    keys: KeyRing | None = None
    log: AccessLog | None = None
    body_limit: int = DEFAULT_BODY_LIMIT

    def handler(self, method: str) -> Handler:
        """Return the handler of a method, or refuse it with status 405."""
        handler = self.handlers.get(method) or self.handlers.get("GET" if method == "HEAD" else "")
        if handler is None:
            allowed = ", ".join(self.handlers)
            raise Refusal(
                405, f"Method {method} is not allowed here, but {allowed}", [(b"allow", allowed.encode())]
            )
        return handler


@dataclass(frozen=True, slots=True)
class NotFound(Route):
    """What all paths answer that are no route, without a look at the body."""

    def handler(self, method: str) -> Handler:  # noqa: ARG002
        """Refuse with status 404."""
        raise Refusal(404, NOT_FOUND)


class Application:
    """A raw ASGI application: frameworks cost more than most models."""

    def __init__(
        self,
        routes: Mapping[str, Route],
        fallback: Route,
        *,
        cors: Cors | None = None,
        bodies: Bodies | None = None,
    ) -> None:
        self._routes = routes
        self._fallback = fallback
        self._cors = cors
        self._bodies = bodies or Bodies(2 * DEFAULT_BODY_LIMIT)
        self._request_ids = request_ids()
        self.closing = False
        """Whether clients are asked to connect anew, elsewhere."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        started = time.perf_counter()
        headers = scope["headers"]
        request = Request(
            scope["method"],
            scope["path"],
            scope["query_string"],
            headers,
            dict(headers),
            b"",
            next(self._request_ids),
        )
        route = self._routes.get(request.path, self._fallback)
        try:
            response = await self._respond(route, request, receive)
        except Disconnected:
            status = CLIENT_CLOSED
        else:
            status = response.status
            await self._send(send, request, response)
        elapsed = time.perf_counter() - started
        route.metrics.record(status, elapsed)
        if route.log is not None:
            route.log.record(request.method, request.path, status, elapsed, request.request_id)

    async def _respond(self, route: Route, request: Request, receive: Receive) -> Response:
        try:
            if b"x-request-id" in request.fields:
                adopt_request_id(request)
            if self._cors is not None and self._cors.is_preflight(request):
                return self._cors.preflight(request)
            if route.keys is not None:
                route.keys.admit(request.fields.get(b"authorization"))
            handler = route.handler(request.method)
            check_length(int(request.fields.get(b"content-length", b"0")), route.body_limit)
            message = await receive()
            request.disconnect = lambda: _disconnect(receive)
            if not message.get("more_body"):
                request.body = _body(message)
                return await handler(request)
            with self._bodies.hold() as add:
                request.body = await _read_pieces(message, receive, route.body_limit, add)
                return await handler(request)
        except Refusal as refusal:
            return _refused(route, refusal)
        except Disconnected:
            raise
        except Exception:  # a bug takes its request with it, and no other
            logger.exception("%s %s failed", request.method, request.path)
            return _refused(route, Refusal(500, INTERNAL_ERROR))

    async def _send(self, send: Send, request: Request, response: Response) -> None:
        headers = response.headers
        body = response.body
        if response.status in WITHOUT_BODY:
            body = b""
        else:
            headers.append((b"content-length", b"%d" % len(body)))
        if request.request_id:
            headers.append((b"x-request-id", request.request_id.encode("latin-1")))
        if self._cors is not None:
            headers.extend(self._cors.headers(request))
        if self.closing:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


async def _read_pieces(message: Message, receive: Receive, limit: int, add: Callable[[int], None]) -> bytes:
    pieces: list[bytes] = []
    size = 0
    while True:
        pieces.append(_body(message))
        add(len(pieces[-1]))
        size += len(pieces[-1])
        check_length(size, limit)
        if not message.get("more_body"):
            return b"".join(pieces)
        message = await receive()


def adopt_request_id(request: Request) -> None:
    """Take the client's `x-request-id` for the one made up here, unless it is too long."""
    given = request.header(b"x-request-id")
    if not given:
        return
    request.request_id = given if len(given) <= REQUEST_ID_LIMIT else ""
    if not request.request_id:
        raise Refusal(431, f"x-request-id must not exceed {REQUEST_ID_LIMIT} characters")


def request_ids() -> Iterator[str]:
    """Yield GUIDs with a random head and a running tail: a fresh GUID costs as much as routing."""
    head = str(uuid.uuid4())[:24]
    return (f"{head}{count:012x}" for count in itertools.count(1))


def _refused(route: Route, refusal: Refusal) -> Response:
    response = route.refuse(refusal)
    response.headers.extend(refusal.headers)
    return response


def _body(message: Message) -> bytes:
    if message["type"] == "http.disconnect":
        raise Disconnected
    body: bytes = message.get("body", b"")
    return body


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
