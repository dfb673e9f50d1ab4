"""Requests, responses and refusals, free of any server interface."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

Headers = list[tuple[bytes, bytes]]

JSON_HEADER = (b"content-type", b"application/json")


Disconnect = Callable[[], Awaitable[None]]
"""Returns when the client of a request has left."""


async def never() -> None:
    """Stand for a client that does not leave."""
    await asyncio.get_running_loop().create_future()


@dataclass(slots=True)
class Request:
    """One HTTP request with its whole body; header names are lower case."""

    method: str
    path: str
    query: bytes = b""
    headers: Headers = field(default_factory=list)
    fields: dict[bytes, bytes] = field(default_factory=dict)
    """The headers by name; of a repeated one the last."""
    body: bytes = b""
    request_id: str = ""
    disconnect: Disconnect = never

    def header(self, name: bytes) -> str | None:
        """Return the value of a header."""
        value = self.fields.get(name)
        return None if value is None else value.decode("latin-1")


@dataclass(slots=True)
class Response:
    """One HTTP response."""

    status: int = 200
    body: bytes = b""
    headers: Headers = field(default_factory=list)


class Refusal(Exception):  # noqa: N818 - most of these are the client's doing, not an error of the server
    """A request that gets `status` and `message` instead of what it asked for."""

    def __init__(self, status: int, message: str, headers: Headers | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers or []


class Disconnected(Exception):  # noqa: N818 - a fact, not an error
    """The client has left before it was answered."""


Handler = Callable[[Request], Awaitable[Response]]


def json_response(value: Any, status: int = 200) -> Response:  # noqa: ANN401 - whatever JSON can hold
    """Encode `value` as `json.dumps` does, which is what clients of Azure ML have always seen."""
    return Response(status, json.dumps(value).encode(), [JSON_HEADER])


def text_response(text: str, status: int = 200) -> Response:
    """Answer in plain text."""
    return Response(status, text.encode(), [(b"content-type", b"text/plain; charset=utf-8")])
