"""Fetch and serve in one container: what is answered meanwhile, and how it ends when that fails."""

import http.client
import signal
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import trustme

ECHO = """
import os
def init(): ...
def run(data): return open(os.environ["AZUREML_MODEL_DIR"] + "/m.bin").read()
"""

NO_DEVICE = {
    "IOTEDGE_WORKLOADURI": "unix:///nowhere/workload.sock",
    "IOTEDGE_APIVERSION": "2018-06-28",
    "IOTEDGE_MODULEGENERATIONID": "1",
    "IOTEDGE_MODULEID": "scorer",
    "IOTEDGE_DEVICEID": "dev1",
    "IOTEDGE_IOTHUBHOSTNAME": "hub.example",
    "IOTEDGE_GATEWAYHOSTNAME": "127.0.0.1",
}
"""What IoT Edge sets, on a machine where nothing answers."""


@pytest.fixture
def code(tmp_path: Path) -> dict[str, Any]:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "score.py").write_text(ECHO)
    return {"uri": f"file://{folder}"}


def model(uri: str) -> dict[str, str]:
    return {"name": "m", "version": "1", "uri": uri}


class Gate:
    """Answers a download once it is opened."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.opened = threading.Event()

    def __call__(self, handler: BaseHTTPRequestHandler) -> None:
        self.reached.set()
        self.opened.wait(20)
        handler.send_response(200)
        handler.send_header("Content-Length", "7")
        handler.end_headers()
        handler.wfile.write(b"weights")


@pytest.fixture
def gate(file_server: Any) -> Iterator[Gate]:
    gate = Gate()
    file_server.answers = [gate]
    yield gate
    gate.opened.set()


def test_the_probes_are_answered_while_the_model_is_fetched(
    start: Any, file_server: Any, gate: Gate, code: dict[str, Any]
) -> None:
    server = start(command="run", ready=False, models=[model(f"{file_server.url}/m.bin")], code=code)
    assert gate.reached.wait(20)
    assert server("GET", "/livez").json == {"status": "alive"}
    for path in ("/readyz", "/score", "/"):
        answer = server("GET", path)
        assert (answer.status, answer.header("retry-after")) == (503, "5")
    gate.opened.set()
    server.wait_ready()
    assert server.score() == "weights"
    assert "fetched model m:1" in server.log


def test_the_probes_are_answered_while_the_script_starts_and_no_client_is_sent_away(
    start: Any, tmp_path: Path, code: dict[str, Any]
) -> None:
    (tmp_path / "m.bin").write_text("weights")
    score = tmp_path / "source/score.py"
    score.write_text("import time\n" + ECHO.replace("init(): ...", "init(): time.sleep(1)"))
    server = start(command="run", ready=False, models=[model(f"file://{tmp_path}/m.bin")], code=code)
    with refusals(server) as refused:
        server.wait_ready()
        time.sleep(0.2)
    assert server.score() == "weights"
    assert refused == []


@contextmanager
def refusals(server: Any) -> Iterator[list[str]]:
    """Ask for `/livez` in a row, from its first answer on, and collect what went wrong."""
    refused: list[str] = []
    done = threading.Event()

    def ask() -> None:
        answered = False
        while not done.is_set():
            try:
                assert server("GET", "/livez").status == 200
                answered = True
            except (OSError, http.client.HTTPException, AssertionError) as error:
                if answered:
                    refused.append(repr(error))

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield refused
    finally:
        done.set()
        thread.join()


def test_a_fetch_that_fails_ends_the_server_and_says_why(start: Any, code: dict[str, Any]) -> None:
    server = start(command="run", ready=False, models=[model("file:///nowhere/m.bin")], code=code)
    assert server.process.wait(20) == 1
    line = "ModelFetchFailed: model m:1: file:///nowhere/m.bin: there is nothing at that path"
    assert line in server.log
    assert server.termination == line


def test_a_script_that_fails_ends_the_server_as_without_a_fetch(
    start: Any, tmp_path: Path, code: dict[str, Any]
) -> None:
    (tmp_path / "source/score.py").write_text(
        "def init(): raise ValueError('no weights')\ndef run(data): ..."
    )
    server = start(command="run", ready=False, code=code)
    assert server.process.wait(20) == 3
    assert server.termination.startswith("ScriptInitFailed: ValueError: no weights")


def test_a_signal_ends_the_fetch(start: Any, file_server: Any, gate: Gate, code: dict[str, Any]) -> None:
    server = start(command="run", ready=False, models=[model(f"{file_server.url}/m.bin")], code=code)
    assert gate.reached.wait(20)
    assert server.stop() == 128 + signal.SIGTERM


def test_the_wait_is_over_https_too(
    start: Any, file_server: Any, gate: Gate, code: dict[str, Any], authority: trustme.CA, tmp_path: Path
) -> None:
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_pem.write_to_path(tmp_path / "tls.key")
    (tmp_path / "tls.crt").write_bytes(issued.cert_chain_pems[0].bytes())
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    server = start(
        command="run",
        ready=False,
        trust=trust,
        models=[model(f"{file_server.url}/m.bin")],
        code=code,
        tls={"dir": str(tmp_path)},
    )
    assert gate.reached.wait(20)
    assert server("GET", "/livez").status == 200
    gate.opened.set()
    server.wait_ready()
    assert server.score() == "weights"


def test_a_device_starts_without_a_network_from_what_it_keeps(
    start: Any, file_server: Any, code: dict[str, Any], tmp_path: Path
) -> None:
    def weights(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "7")
        handler.end_headers()
        handler.wfile.write(b"weights")

    def no_network(handler: BaseHTTPRequestHandler) -> None:
        handler.connection.close()

    device = {
        "models": [model(f"{file_server.url}/m.bin")],
        "code": code,
        "edge": {"cacheDir": str(tmp_path / "kept")},
        "env": NO_DEVICE,
        "command": "run",
    }
    file_server.answers = [weights]
    assert start(**device).score() == "weights"
    file_server.answers = [no_network]
    server = start(**device | {"models": [model(f"{file_server.url}/m.bin")]})
    assert server.score() == "weights"
    server.wait_said("Edge hub: the workload API does not answer")
    assert server.stop() == 0


def test_a_module_without_its_variables_does_not_start(start: Any, code: dict[str, Any]) -> None:
    server = start(code=code, edge={}, command="run", ready=False)
    assert server.process.wait(20) == 3
    assert server.termination.startswith("EdgeIdentityMissing: edge is configured, but IOTEDGE_WORKLOADURI")


def test_a_server_that_is_no_module_knows_nothing_of_messages(start: Any) -> None:
    server = start(
        """
        import sys
        def init(): ...
        def run(data): return [name for name in sys.modules if name.startswith("berth_scoring.edge")]
        """,
        env=NO_DEVICE,
    )
    assert server.score() == []
    assert b"edge" not in server("GET", "/metrics").body
