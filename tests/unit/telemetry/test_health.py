import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Counter
from virtual_time import in_virtual_time

from berth.telemetry.health import Check, Health, Heartbeat


@asynccontextmanager
async def served(health: Health) -> AsyncIterator[Any]:
    """Serve, and yield a function that asks for a path."""
    runner = await health.start(0)
    port = next(address[1] for address in runner.addresses if address[0] == "0.0.0.0")

    async def get(path: str) -> tuple[int, Any]:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{port}{path}") as answer,
        ):
            is_json = answer.content_type == "application/json"
            return answer.status, await (answer.json() if is_json else answer.text())

    try:
        yield get
    finally:
        await runner.cleanup()


async def test_healthy_while_every_check_is_below_its_limit() -> None:
    checks = (Check("event-loop", lambda: 0.1, 10), Check("watch:pods", lambda: 400, 400))
    async with served(Health(CollectorRegistry(), checks, dict)) as get:
        assert await get("/healthz") == (200, {"status": "ok", "problems": {}})


async def test_unhealthy_names_each_check_that_fails_and_by_how_much() -> None:
    ages = {"pods": 401.4}
    checks = (Check("event-loop", lambda: 0.1, 10), Check("watch:pods", lambda: ages["pods"], 400))
    async with served(Health(CollectorRegistry(), checks, dict)) as get:
        code, body = await get("/healthz")
        assert (code, body["problems"]) == (503, {"watch:pods": "401 s, at most 400 s"})
        ages["pods"] = 1
        assert (await get("/healthz"))[0] == 200


async def test_ready_when_everything_is_listed() -> None:
    listed = {"pods": False, "services": True}
    async with served(Health(CollectorRegistry(), (), lambda: listed)) as get:
        assert await get("/readyz") == (503, {"status": "failing", "problems": {"pods": "not yet"}})
        listed["pods"] = True
        assert (await get("/readyz"))[0] == 200


async def test_metrics_are_those_of_the_registry() -> None:
    registry = CollectorRegistry()
    Counter("things", "Things", registry=registry).inc(3)
    async with served(Health(registry, (), dict)) as get:
        code, text = await get("/metrics")
    assert code == 200
    assert "things_total 3.0" in text


@in_virtual_time
async def test_a_loop_that_keeps_up_has_no_lag() -> None:
    told: list[float] = []
    heartbeat = Heartbeat(told.append)
    assert heartbeat.lag == 0
    beating = asyncio.create_task(heartbeat.run())
    await asyncio.sleep(10.5)
    assert heartbeat.lag == 0
    assert len(told) == 10
    assert max(told) < 0.001
    beating.cancel()


async def test_a_loop_that_was_blocked_tells_for_how_long() -> None:
    told: list[float] = []
    heartbeat = Heartbeat(told.append)
    beating = asyncio.create_task(heartbeat.run())
    await asyncio.sleep(0)
    time.sleep(1.3)  # noqa: ASYNC251 - to block is the point
    assert heartbeat.lag == pytest.approx(0.3, abs=0.15)
    await asyncio.sleep(0.01)
    assert told == [pytest.approx(0.3, abs=0.15)]
    beating.cancel()
