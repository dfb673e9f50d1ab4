import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from berth_sandbox.azure.edge_hub.tokens import sign
from berth_sandbox.azure.edge_hub.workload import WorkloadApi
from berth_scoring.edge import workload
from berth_scoring.edge.errors import WorkloadError
from berth_scoring.edge.identity import ModuleIdentity
from berth_scoring.edge.workload import Workload


@contextmanager
def answering(path: Path, answer: bytes) -> Iterator[None]:
    """Answer one request on a Unix socket with the same bytes, whatever it is."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield
        thread.join()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "workload.sock"


@pytest.fixture
def asking(identity: ModuleIdentity, path: Path) -> Workload:
    return Workload(replace(identity, workload_uri=f"unix://{path}"))


async def test_the_device_signs_and_tells_whom_to_trust(asking: Workload, path: Path) -> None:
    api = WorkloadApi("PEM", {"amlmodule": b"key"})
    async with api.served(path):
        assert await asyncio.to_thread(asking.trust_bundle) == "PEM"
        assert await asyncio.to_thread(asking.sign, b"data\n1") == sign(b"key", b"data\n1")
        api.broken = True
        with pytest.raises(WorkloadError, match="GET /trust-bundle with 404"):
            await asyncio.to_thread(asking.trust_bundle)


async def test_a_module_that_the_device_does_not_know_gets_no_signature(
    identity: ModuleIdentity, path: Path
) -> None:
    stranger = Workload(replace(identity, workload_uri=f"unix://{path}", module="../other"))
    async with WorkloadApi("PEM", {"other": b"key"}).served(path):
        with pytest.raises(WorkloadError):
            await asyncio.to_thread(stranger.sign, b"data")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
        b'HTTP/1.1 200 OK\r\nContent-Length: 18\r\n\r\n{"certificate": 1}',
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{",
        b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_an_answer_that_is_none_is_an_error(asking: Workload, path: Path, answer: bytes) -> None:
    with answering(path, answer), pytest.raises(WorkloadError):
        asking.trust_bundle()


def test_a_socket_that_says_nothing_does_not_hold_the_module(
    asking: Workload, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workload, "TIMEOUT_SECONDS", 0.1)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        with pytest.raises(WorkloadError, match="timed out"):
            asking.trust_bundle()


@pytest.mark.parametrize("uri", ["unix:///nowhere.sock", "http://127.0.0.1:1", "ftp://x", "http://"])
def test_an_api_that_is_not_there_is_an_error(identity: ModuleIdentity, uri: str) -> None:
    with pytest.raises(WorkloadError):
        Workload(replace(identity, workload_uri=uri)).trust_bundle()
