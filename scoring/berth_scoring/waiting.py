"""Answers the probes while a model is fetched and loaded: some hosts restart what does not answer soon."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import uvicorn
import uvloop
from uvicorn.server import ServerState

from berth_scoring import azureml
from berth_scoring.app import Application, Route
from berth_scoring.connection import Connection
from berth_scoring.messages import Handler, Refusal, Request, Response, json_response
from berth_scoring.metrics import Metrics
from berth_scoring.routes import RouteFactory
from berth_scoring.server import http_config

STARTING = "The model is not loaded yet"
RETRY_SECONDS = b"5"
LAST_ANSWERS_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Starting(Route):
    """What every path but one answers meanwhile."""

    def handler(self, method: str) -> Handler:  # noqa: ARG002
        """Refuse with status 503."""
        raise Refusal(503, STARTING, [(b"retry-after", RETRY_SECONDS)])


@contextmanager
def waiting(listener: socket.socket, tls: ssl.SSLContext | None) -> Iterator[None]:
    """Answer on `listener` until the block ends; who connects then waits for the next to accept."""
    config = http_config(_application(), tls, stop_seconds=1)
    over = threading.Event()
    thread = threading.Thread(target=_serve, args=(config, listener.dup(), over), name="waiting", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _serve(config: uvicorn.Config, listener: socket.socket, over: threading.Event) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve_until(over, config, listener))


async def _serve_until(over: threading.Event, config: uvicorn.Config, listener: socket.socket) -> None:
    config.load()
    state = ServerState()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(config, state, {}), sock=listener, ssl=config.ssl)
    await asyncio.to_thread(over.wait)
    server.close()
    # Each connection ends with its answer; to close one before would reset it.
    end = loop.time() + LAST_ANSWERS_SECONDS
    while state.connections and loop.time() < end:  # noqa: ASYNC110 - the set tells nobody when it is empty
        await asyncio.sleep(0.01)


def _application() -> Application:
    make = RouteFactory(Metrics())
    starting = Starting({}, azureml.refuse, make.metrics.route("none"))
    application = Application({"/livez": make.public("/livez", _alive)}, starting)
    # Connections are not kept: they would stay with this server, which soon ends.
    application.closing = True
    return application


async def _alive(_request: Request) -> Response:
    return json_response({"status": "alive"})
