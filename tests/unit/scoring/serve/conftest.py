import asyncio
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from skl2onnx import to_onnx
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from berth_scoring.app import Application


@dataclass
class Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)


@dataclass
class Client:
    """Calls an application in this process, without a network."""

    application: Application

    async def __call__(
        self,
        method: str,
        url: str,
        body: bytes | str | list[bytes] = b"",
        headers: Mapping[str, str] | None = None,
        leaves: asyncio.Event | None = None,
    ) -> Answer:
        path, _, query = url.partition("?")
        pieces = body if isinstance(body, list) else [body.encode() if isinstance(body, str) else body]
        messages = [
            {"type": "http.request", "body": piece, "more_body": index < len(pieces) - 1}
            for index, piece in enumerate(pieces)
        ]
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            if messages:
                return messages.pop(0)
            await (leaves or asyncio.Event()).wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in (headers or {}).items()]
        scope = {"method": method, "path": path, "query_string": query.encode(), "headers": raw}
        await self.application(scope, receive, send)
        if not sent:
            return Answer(0, [], b"")
        answered = [(name.decode(), value.decode("latin-1")) for name, value in sent[0]["headers"]]
        return Answer(sent[0]["status"], answered, sent[1]["body"])


@dataclass
class ScoringProcess:
    """A real server in a process of its own."""

    process: "subprocess.Popen[bytes]"
    port: int
    folder: Path
    trust: ssl.SSLContext | None = None
    """What a client trusts, where the server speaks HTTPS."""

    def connect(self) -> http.client.HTTPConnection:
        if self.trust is None:
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=20, context=self.trust)

    def __call__(
        self, method: str, path: str, body: bytes | str = b"", headers: Mapping[str, str] | None = None
    ) -> Answer:
        connection = self.connect()
        try:
            connection.request(method, path, body or None, dict(headers or {}))
            response = connection.getresponse()
            pairs = [(name.lower(), value) for name, value in response.getheaders()]
            return Answer(response.status, pairs, response.read())
        finally:
            connection.close()

    def score(self, body: bytes | str = b"") -> Any:
        answer = self("POST", "/score", body)
        assert answer.status == 200, (answer, self.log)
        return answer.json

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    @property
    def termination(self) -> str:
        return (self.folder / "termination-log").read_text()

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(20)

    def wait_said(self, line: str) -> None:
        """Wait for a line of the log that may come a moment after an answer."""
        end = time.monotonic() + 20
        while line not in self.log:
            assert time.monotonic() < end, self.log
            time.sleep(0.02)

    def wait_ready(self) -> None:
        end = time.monotonic() + 30
        while time.monotonic() < end and self.process.poll() is None:
            try:
                if self("GET", "/readyz").status == 200:
                    return
            except OSError:
                time.sleep(0.02)
        raise AssertionError(self.log)


Start = Callable[..., ScoringProcess]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


class Launcher:
    """Starts servers with a script, or with models, below a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.started: list[ScoringProcess] = []

    def __call__(
        self,
        script: str | None = None,
        *,
        models: list[dict[str, Any]] | None = None,
        env: Mapping[str, str] | None = None,
        ready: bool = True,
        command: str = "serve",
        trust: ssl.SSLContext | None = None,
        prefix: Sequence[str] = (),
        **config: Any,
    ) -> ScoringProcess:
        folder = self._folder / f"server-{len(self.started)}"
        (folder / "code").mkdir(parents=True, exist_ok=True)
        document = {"name": "test", "port": free_port(), "models": models or [], **config}
        if script is not None:
            (folder / "code/score.py").write_text(textwrap.dedent(script))
            document["code"] = {"uri": "configmap://code"}
        (folder / "azureml-models").mkdir(exist_ok=True)
        for model in document["models"]:
            if source := model.pop("folder", None):
                target = folder / "azureml-models" / model["name"] / model["version"]
                target.parent.mkdir(parents=True, exist_ok=True)
                target.symlink_to(source)
        environment = os.environ | {
            "BERTH_SCORING_CONFIG": json.dumps(document),
            "BERTH_APP_ROOT": str(folder),
            "BERTH_TERMINATION_LOG": str(folder / "termination-log"),
            "BERTH_DRAIN_SECONDS": "0.2",
            **(env or {}),
        }
        with (folder / "log").open("wb") as output:
            arguments = [*prefix, sys.executable, "-m", "berth_scoring", command]
            process = subprocess.Popen(arguments, env=environment, stdout=output, stderr=subprocess.STDOUT)
        server = ScoringProcess(process, document["port"], folder, trust)
        self.started.append(server)
        if ready:
            server.wait_ready()
        return server

    def close(self) -> None:
        for server in self.started:
            server.process.kill()
            server.process.wait()


@pytest.fixture
def make_launcher() -> Callable[[Path], Launcher]:
    return Launcher


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Launcher]:
    launcher = Launcher(tmp_path)
    yield launcher
    launcher.close()


@pytest.fixture(scope="module")
def start_shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launcher]:
    launcher = Launcher(tmp_path_factory.mktemp("scoring"))
    yield launcher
    launcher.close()


@pytest.fixture(scope="session")
def classifier() -> LogisticRegression:
    features, classes = load_iris(return_X_y=True)
    return LogisticRegression(max_iter=500).fit(features, classes)


@pytest.fixture(scope="session")
def sklearn_folder(classifier: LogisticRegression, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sklearn")
    joblib.dump(classifier, folder / "model.joblib")
    return folder


@pytest.fixture(scope="session")
def onnx_folder(classifier: LogisticRegression, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("onnx")
    graph = to_onnx(classifier, np.zeros((1, 4), np.float32), options={"zipmap": False})
    (folder / "model.onnx").write_bytes(graph.SerializeToString())
    return folder


@pytest.fixture
def client() -> Callable[[Application], Client]:
    return Client


@pytest.fixture
async def background() -> AsyncIterator[Callable[[Callable[[], None]], None]]:
    """Run functions in threads, which must have ended when the test does."""
    tasks: list[asyncio.Task[None]] = []
    yield lambda function: tasks.append(asyncio.ensure_future(asyncio.to_thread(function)))
    await asyncio.wait_for(asyncio.gather(*tasks), 10)
