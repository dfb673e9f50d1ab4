"""What passes make of golden requests."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest
from deployments import MODEL, spec
from reconciled import KEY, World
from virtual_time import in_virtual_time

from berth.core.errors import Transient
from berth.plan.resources import DEPLOYMENTS, SERVICES
from berth.targets.golden import Answer

VALIDATED = {"auth": {"mode": "None"}, "validation": {"request": {"body": "{}"}}}
UNREACHABLE = Transient("http://10.96.0.7:80/score cannot be reached")
WRONG = Answer(500, "no")


async def rolled_out(world: World) -> None:
    """Let the wanted Deployment be complete behind a Service that has an address."""
    await world.once()
    world.cluster.objects[SERVICES, KEY].found["spec", "clusterIP"] = "10.96.0.7"
    await world.settle(ready=1)


async def later(world: World, seconds: float) -> None:
    """Let time pass, and the golden requests with it."""
    await asyncio.sleep(seconds)
    world.now += timedelta(seconds=seconds)
    await world.settle()


@in_virtual_time
async def test_replicas_of_the_previous_spec_do_not_answer_for_the_current_one() -> None:
    world = World(spec(**VALIDATED))
    await rolled_out(world)
    await later(world, 1)
    assert world.condition("Ready")["status"] == "True"
    world.change(spec(**VALIDATED, model=MODEL | {"version": "4"}))
    await world.once()
    await asyncio.sleep(1)
    world.answer = WRONG
    world.cluster.become_ready(DEPLOYMENTS, KEY, 1)
    await later(world, 1)
    await later(world, 1)
    assert world.condition("Ready")["reason"] == "ValidationFailed"


@in_virtual_time
async def test_an_address_of_ipv6_stands_in_brackets() -> None:
    world = World(spec(**VALIDATED))
    await world.once()
    world.cluster.objects[SERVICES, KEY].found["spec", "clusterIP"] = "fd00::7"
    await world.settle(ready=1)
    await later(world, 1)
    assert world.urls == ["http://[fd00::7]/score"]


@in_virtual_time
async def test_a_model_that_gives_no_answer_is_awaited_until_the_deadline() -> None:
    world = World(spec(**VALIDATED))
    world.answer = UNREACHABLE
    await rolled_out(world)
    await later(world, 590)
    assert world.condition("Ready")["reason"] == "Validating"
    assert "cannot be reached" in world.condition("Ready")["message"]
    assert world.condition("Reconciling")["status"] == "True"
    assert world.condition("Validated")["status"] == "Unknown"
    await later(world, 20)
    assert world.condition("Stalled")["reason"] == "ValidationFailed"
    await later(world, 20)
    assert world.condition("Stalled")["reason"] == "ValidationFailed"
    world.answer = Answer(200, "[0]")
    await later(world, 30)
    assert world.condition("Ready")["status"] == "True"
    assert world.condition("Stalled") == {}


@in_virtual_time
async def test_a_wrong_answer_stalls_at_once() -> None:
    world = World(spec(**VALIDATED))
    world.answer = WRONG
    await rolled_out(world)
    await later(world, 1)
    assert world.condition("Stalled")["reason"] == "ValidationFailed"
    assert world.condition("Validated")["status"] == "False"


def suspend(world: World) -> None:
    world.change(spec(**VALIDATED, suspend=True))


def delete(world: World) -> None:
    world._raw["metadata"]["deletionTimestamp"] = "2026-11-01T13:00:00Z"


def withdraw(world: World) -> None:
    world.change(spec(auth={"mode": "None"}))


@pytest.mark.parametrize("end", [suspend, delete, withdraw])
def test_the_endpoint_is_asked_no_more_once_no_one_waits_for_the_outcome(
    end: Callable[[World], None],
) -> None:
    @in_virtual_time
    async def run() -> None:
        world = World(spec(**VALIDATED))
        world.answer = UNREACHABLE
        await rolled_out(world)
        await later(world, 30)
        end(world)
        await world.once()
        before = world.answered
        await asyncio.sleep(100)
        assert world.answered == before

    run()


@in_virtual_time
async def test_the_endpoint_of_a_model_that_is_gone_is_asked_no_more() -> None:
    world = World(spec(**VALIDATED))
    world.answer = UNREACHABLE
    await rolled_out(world)
    await later(world, 30)
    before = world.answered
    world.subjects.replace({}, 1_000)
    await world._reconciler.reconcile(KEY)
    await asyncio.sleep(100)
    assert world.answered == before


@in_virtual_time
async def test_no_replicas_are_asked_nothing() -> None:
    world = World(spec(**VALIDATED, scaling={"replicas": 0}))
    await world.once()
    await world.settle(ready=0)
    assert world.condition("Ready")["reason"] == "ScaledToZero"
    await asyncio.sleep(100)
    assert world.answered == 0


@in_virtual_time
async def test_a_service_that_got_another_address_is_asked_there() -> None:
    world = World(spec(**VALIDATED))
    world.answer = UNREACHABLE
    await rolled_out(world)
    await later(world, 30)
    world.cluster.objects[SERVICES, KEY].found["spec", "clusterIP"] = "10.96.0.8"
    world.answer = Answer(200, "[0]")
    await world.settle()
    before = world.answered
    await asyncio.sleep(0.5)
    assert world.answered == before + 1
