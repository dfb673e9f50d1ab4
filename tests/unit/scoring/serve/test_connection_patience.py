"""How long a connection waits: clients that are slow, silent or do not stop, and applications that fail."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from berth_scoring import connection
from berth_scoring.connection import Connection

HEAD = b"POST / HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n"

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def answer_at_once(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
    await send({"type": "http.response.body", "body": b"done"})


async def read_first(scope: Any, receive: Any, send: Any) -> None:
    while (message := await receive())["type"] == "http.request" and message["more_body"]:
        pass
    if message["type"] == "http.request":
        await answer_at_once(scope, receive, send)


@pytest.fixture
async def connect() -> AsyncIterator[Callable[..., Any]]:
    servers: list[asyncio.Server] = []
    writers: list[asyncio.StreamWriter] = []

    async def start(application: Any, keep_alive: int = 75) -> Streams:
        config = uvicorn.Config(
            application, interface="asgi3", log_config=None, lifespan="off", timeout_keep_alive=keep_alive
        )
        config.load()
        state = ServerState()
        loop = asyncio.get_running_loop()
        servers.append(await loop.create_server(lambda: Connection(config, state, {}), "127.0.0.1", 0))
        reader, writer = await asyncio.open_connection(*servers[-1].sockets[0].getsockname())
        writers.append(writer)
        return reader, writer

    yield start
    for writer in writers:
        writer.close()
    for server in servers:
        server.close()
        await server.wait_closed()


async def read_to_end(reader: asyncio.StreamReader) -> bytes:
    return await asyncio.wait_for(reader.read(), 5)


@pytest.mark.parametrize("beginning", [b"POST", HEAD[:-2], HEAD, HEAD + b"x" * 5000])
async def test_a_request_that_does_not_come_to_its_end_is_refused(
    connect: Any, monkeypatch: pytest.MonkeyPatch, beginning: bytes
) -> None:
    monkeypatch.setattr(connection, "RECEIVE_SECONDS", 0.1)
    reader, writer = await connect(read_first)
    writer.write(beginning)
    assert (await read_to_end(reader)).startswith(b"HTTP/1.1 408 ")


async def test_a_large_request_may_take_its_time(connect: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "RECEIVE_SECONDS", 0.1)
    monkeypatch.setattr(connection, "RECEIVE_BYTES", 50_000)
    reader, writer = await connect(read_first)
    writer.write(HEAD)
    for _ in range(10):
        writer.write(b"x" * 100_000)
        await writer.drain()
        await asyncio.sleep(0.03)
    assert (await reader.readexactly(15)) == b"HTTP/1.1 200 OK"


async def test_an_unread_rest_that_does_not_end_closes_the_connection(
    connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "LINGER_SECONDS", 0.1)
    reader, writer = await connect(answer_at_once)
    writer.write(HEAD)
    assert (await read_to_end(reader)).endswith(b"done")


@pytest.mark.parametrize("beginning", [b"", b"\r\n"])
async def test_a_silent_client_is_not_kept(connect: Any, beginning: bytes) -> None:
    reader, writer = await connect(answer_at_once, keep_alive=0)
    writer.write(beginning)
    assert await read_to_end(reader) == b""


async def test_an_application_that_fails_is_500_and_the_connection_lasts(connect: Any) -> None:
    async def fail(_scope: Any, _receive: Any, _send: Any) -> None:
        raise ValueError

    reader, writer = await connect(fail)
    for _ in range(2):
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        assert head.startswith(b"HTTP/1.1 500 ")


async def test_who_waits_for_an_answer_hears_that_the_client_has_left(connect: Any) -> None:
    left = asyncio.Event()

    async def wait(_scope: Any, receive: Any, _send: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        left.set()

    _, writer = await connect(wait)
    writer.write(b"GET / HTTP/1.1\r\n\r\n")
    await asyncio.sleep(0.05)
    writer.close()
    await asyncio.wait_for(left.wait(), 5)


async def test_requests_behind_a_slow_one_wait_without_losing_the_patience_for_them(
    connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "RECEIVE_SECONDS", 0.1)

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0.3)
        await read_first(scope, receive, send)

    reader, writer = await connect(slow)
    small = b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\n"
    writer.write(small + b"x" * 10 + small + b"x" * 5)
    await asyncio.sleep(0.25)
    writer.write(b"x" * 5)
    for _ in range(2):
        assert (await asyncio.wait_for(reader.readuntil(b"done"), 5)).startswith(b"HTTP/1.1 200 OK")
