"""The socket by which the kubelet finds a plugin."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc

from berth_sandbox.fpga.plugin import Plugin, handlers

THREADS = 8
POLL_SECONDS = 0.2


def serve(plugin: Plugin, socket: Path, stopping: threading.Event) -> None:
    """Answer at a socket until told to stop; one that somebody removed is made anew."""
    while not stopping.is_set():
        with _answering(plugin, socket):
            while socket.exists() and not stopping.wait(POLL_SECONDS):
                pass
    socket.unlink(missing_ok=True)


@contextmanager
def _answering(plugin: Plugin, socket: Path) -> Iterator[None]:
    with ThreadPoolExecutor(THREADS) as executor:
        server = grpc.server(executor, list(handlers(plugin)))
        server.add_insecure_port(f"unix:{socket}")
        server.start()
        try:
            yield
        finally:
            server.stop(None).wait()
