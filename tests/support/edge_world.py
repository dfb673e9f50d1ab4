"""A device with an edge hub, our server as one module of it, and Microsoft's SDK as two others."""

import asyncio
import itertools
import json
import os
import signal
import sys
import textwrap
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scoring_servers import free_port, plain_environment

from berth_sandbox.azure.edge_hub.device import EdgeServices
from berth_sandbox.azure.edge_hub.hub import EdgeHub, Limits

PEER = Path(__file__).with_name("edge_peer.py")
PATIENCE_SECONDS = 40.0
ROUTES = (
    'FROM /messages/modules/producer/outputs/* INTO BrokeredEndpoint("/modules/scorer/inputs/amlInput")',
    'FROM /messages/modules/scorer/outputs/amlOutput INTO BrokeredEndpoint("/modules/sink/inputs/results")',
)
_numbers = itertools.count(2)


def own_address() -> str:
    """Return an address of the loopback network that no other test uses: the port is the same for all."""
    number = next(_numbers)
    return f"127.{os.getpid() % 200 + 20}.{os.getpid() // 200 % 250}.{number}"


async def until(condition: Callable[[], Any], seconds: float = PATIENCE_SECONDS) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not become so in time"
        await asyncio.sleep(0.02)


@dataclass
class Program:
    """A process and the lines of JSON that it has printed."""

    process: asyncio.subprocess.Process
    lines: list[Any] = field(default_factory=list)

    async def read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.lines.append(json.loads(line))

    def write(self, document: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n" if document is None else json.dumps(document).encode() + b"\n")


@dataclass
class Scorer:
    """Our server, as a module; it may be started again with what is on its disk."""

    environment: dict[str, str]
    port: int
    folder: Path
    process: asyncio.subprocess.Process | None = None

    async def start(self, **variables: str) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "berth_scoring",
                "run",
                env=self.environment | variables,
                stdout=log,
                stderr=log,
            )

    async def ready(self) -> None:
        end = time.monotonic() + PATIENCE_SECONDS
        while (await self.get("/readyz"))[0] != 200:
            assert self.process is not None
            assert self.process.returncode is None, self.log
            assert time.monotonic() < end, self.log
            await asyncio.sleep(0.05)

    async def kill(self) -> None:
        await self._end(signal.SIGKILL)

    async def stop(self) -> int:
        return await self._end(signal.SIGTERM)

    async def _end(self, number: int) -> int:
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(number)
        return await asyncio.wait_for(self.process.wait(), 20)

    async def get(self, path: str, body: bytes | None = None) -> tuple[int, str]:
        return await asyncio.to_thread(self._get, path, body)

    def _get(self, path: str, body: bytes | None) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", body, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    async def metric(self, series: str) -> float:
        """Return the value of a series, 0 if it is not there."""
        _, text = await self.get("/metrics")
        values = [line.rpartition(" ")[2] for line in text.splitlines() if line.startswith(f"{series} ")]
        return float(values[0]) if values else 0.0

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()


@dataclass
class World:
    """The device and its modules."""

    services: EdgeServices
    folder: Path
    sink: Program
    producer: Program
    scorers: list[Scorer] = field(default_factory=list)

    @property
    def hub(self) -> EdgeHub:
        return self.services.hub

    @property
    def results(self) -> list[Any]:
        """What has arrived at the sink."""
        return self.sink.lines[1:]

    async def scorer(
        self,
        script: str | None,
        *,
        edge: Mapping[str, Any] | None = None,
        requests: Mapping[str, Any] | None = None,
        models: list[dict[str, Any]] | None = None,
        start: bool = True,
    ) -> Scorer:
        """Start our server as the module `scorer` and wait until it hears its input."""
        folder = self.folder / f"scorer-{len(self.scorers)}"
        code = folder / "source"
        code.mkdir(parents=True)
        port = free_port()
        document: dict[str, Any] = {
            "name": "iris",
            "namespace": "demo",
            "target": "IoTEdge",
            "port": port,
            "models": models or [],
            "requests": requests or {},
            "edge": dict(edge or {}),
        }
        if script is not None:
            (code / "score.py").write_text(textwrap.dedent(script))
            document["code"] = {"uri": f"file://{code}"}
        environment = plain_environment() | {
            "BERTH_SCORING_CONFIG": json.dumps(document),
            "BERTH_APP_ROOT": str(folder / "app"),
            "BERTH_TERMINATION_LOG": str(folder / "termination-log"),
            "BERTH_DRAIN_SECONDS": "0",
            **self.services.environment("scorer"),
        }
        scorer = Scorer(environment, port, folder)
        self.scorers.append(scorer)
        if start:
            await scorer.start()
            await self.listening()
        return scorer

    async def listening(self, connections: int = 1) -> None:
        """Wait until our module has subscribed over a connection of its own."""
        session = self.hub.sessions["scorer"]
        try:
            await until(
                lambda: (
                    self.hub.connections["scorer"] >= connections
                    and session.writer is not None
                    and session.filters
                )
            )
        except AssertionError as error:
            raise AssertionError("\n".join(scorer.log for scorer in self.scorers)) from error

    def send(self, body: str, **more: Any) -> None:
        """Let the producer send one message; a body is text of latin-1."""
        self.producer.write({"body": body, **more})

    async def sent(self) -> None:
        """Wait until the hub has all messages of the producer."""
        before = len(self.producer.lines)
        self.producer.write(None)
        await until(lambda: len(self.producer.lines) > before)

    async def arrived(self, count: int) -> list[Any]:
        """Wait until so many messages are at the sink, and return them."""
        try:
            await until(lambda: len(self.results) >= count)
        except AssertionError as error:
            logs = "\n".join(scorer.log for scorer in self.scorers)
            raise AssertionError(f"{len(self.results)} of {count} have arrived\n{logs}") from error
        return self.results


@asynccontextmanager
async def edge_world(folder: Path, limits: Limits | None = None) -> AsyncIterator[World]:
    """Run a device with its hub, a producer and a sink until the block ends."""
    services = EdgeServices(
        hub="hub.example",
        device="dev1",
        modules=["producer", "scorer", "sink"],
        address=own_address(),
        folder=folder,
        limits=limits,
    )
    services.hub.route(ROUTES)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(services.served())
        sink = await stack.enter_async_context(peer("sink", services.environment("sink")))
        producer = await stack.enter_async_context(peer("produce", services.environment("producer")))
        world = World(services, folder, sink, producer)
        await until(lambda: sink.lines and producer.lines and services.hub.sessions["sink"].filters)
        try:
            yield world
        finally:
            for scorer in world.scorers:
                if scorer.process is not None:
                    await scorer.kill()


@asynccontextmanager
async def peer(kind: str, environment: Mapping[str, str]) -> AsyncIterator[Program]:
    """Run a module that uses the SDK."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-W",
        "ignore",
        str(PEER),
        kind,
        env=plain_environment() | environment,
        stdin=pipe,
        stdout=pipe,
        limit=4 * 2**20,
    )
    program = Program(process)
    reading = asyncio.create_task(program.read())
    try:
        yield program
    finally:
        process.kill()
        await process.wait()
        await reading
