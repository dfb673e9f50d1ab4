"""Container groups that are only said to run, but whose address answers as the scoring server would."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime

from aiohttp import web

from berth.plan.group_endpoint import PLAIN
from berth_sandbox.azure.backing import Observation
from berth_sandbox.azure.names import GroupId
from berth_sandbox.azure.simulation import Simulation


@dataclass
class AnsweringGroups(Simulation):
    """A simulation in which all groups have one address, of this machine."""

    is_silent: bool = False
    address: str = field(default_factory=lambda: f"127.{random.randint(1, 254)}.{random.randint(1, 254)}.1")

    async def observe(self, group: GroupId, now: datetime) -> Observation:
        seen = await super().observe(group, now)
        return replace(seen, address=self.address) if seen.address else seen


@asynccontextmanager
async def answering(groups: AnsweringGroups) -> AsyncIterator[None]:
    """Answer at the address until the block ends."""
    application = web.Application()

    async def ready(_: web.Request) -> web.Response:
        return web.Response(status=503 if groups.is_silent else 200)

    application.add_routes([web.get("/readyz", ready), web.post("/score", _score)])
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, groups.address, PLAIN.port).start()
    try:
        yield
    finally:
        await runner.cleanup()


async def _score(_: web.Request) -> web.Response:
    return web.json_response([0])
