"""`/metrics`, `/healthz` and `/readyz`, and the judgement behind the last two."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import orjson
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

_BEAT_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Check:
    """A number of seconds that must stay below a limit."""

    name: str
    seconds: Callable[[], float]
    limit: float

    def problem(self) -> str | None:
        """Say what is wrong, if anything is."""
        seconds = self.seconds()
        return None if seconds <= self.limit else f"{seconds:.0f} s, at most {self.limit:.0f} s"


class Heartbeat:
    """Measures how late the event loop runs a timer of one second; also while it is late."""

    def __init__(self, tell: Callable[[float], None]) -> None:
        self._tell = tell
        self._expected = 0.0

    @property
    def lag(self) -> float:
        """Seconds that the next beat is overdue."""
        return max(0.0, asyncio.get_running_loop().time() - self._expected) if self._expected else 0.0

    async def run(self) -> None:
        """Beat until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            self._expected = loop.time() + _BEAT_SECONDS
            await asyncio.sleep(_BEAT_SECONDS)
            self._tell(loop.time() - self._expected)


class Health:
    """Serves the three routes."""

    def __init__(
        self, registry: CollectorRegistry, checks: tuple[Check, ...], ready: Callable[[], Mapping[str, bool]]
    ) -> None:
        self._registry = registry
        self._checks = checks
        self._ready = ready

    def application(self) -> web.Application:
        """Return the routes as an application."""
        application = web.Application()
        application.router.add_get("/metrics", self._metrics)
        application.router.add_get("/healthz", self._healthz)
        application.router.add_get("/readyz", self._readyz)
        return application

    async def start(self, port: int) -> web.AppRunner:
        """Listen on all interfaces; the caller cleans the runner up."""
        runner = web.AppRunner(self.application(), access_log=None)
        await runner.setup()
        await web.TCPSite(runner, None, port).start()
        return runner

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )

    async def _healthz(self, _: web.Request) -> web.Response:
        return _answer({check.name: problem for check in self._checks if (problem := check.problem())})

    async def _readyz(self, _: web.Request) -> web.Response:
        return _answer({name: "not yet" for name, done in self._ready().items() if not done})


def _answer(problems: Mapping[str, str]) -> web.Response:
    body = {"status": "failing" if problems else "ok", "problems": problems}
    return web.Response(
        status=503 if problems else 200, body=orjson.dumps(body), content_type="application/json"
    )
