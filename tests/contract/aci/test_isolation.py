"""A subscription that is down, throttled or hangs delays nobody who does not use it."""

import asyncio
import time

import pytest
from aci_world import SPEC, World, place_spec
from azure_emulator import RESOURCE_GROUP, TENANT

from berth.core.keys import Key
from berth.core.queue import WorkQueue
from berth.core.workers import Workers
from berth.plan.resources import COMPUTE_TARGETS
from berth_sandbox.azure.configuration import configure
from berth_sandbox.azure.faults import Delay, Refuse, TransportEffect

ILL = "11111111-0000-0000-0000-000000000000"
ELSEWHERE = Key("", "ill")
MANY, WELL = 40, 4
WORKERS = 16
MOST_TIMES = 5.0
LEAST_SECONDS = 2.0
"""Far less than the 20 s that one call may hang."""


async def seconds_to_serve(world: World, name: str) -> float:
    """Have a new operator's workers look at all, and time how long it takes to ask for some new groups."""
    for number in range(WELL):
        world.apply(SPEC, Key("demo", f"{name}-{number}"))
    world.restart()
    queue: WorkQueue[Key] = WorkQueue()
    world.follow(queue)
    pool = Workers(queue, world.reconciler.reconcile, world.reconciler.report_failure, size=WORKERS)
    running, began = asyncio.create_task(pool.run()), time.monotonic()
    world.look()
    for _ in range(6000):
        if sum(group.startswith(f"demo-{name}-") for group in world.groups) == WELL:
            break
        await asyncio.sleep(0.01)
    took = time.monotonic() - began
    running.cancel()
    await asyncio.wait([running])
    return took


def apply_to_the_ill(world: World) -> None:
    configure(world.azure, {"subscriptions": {ILL: {"tenant": TENANT, "resourceGroups": [RESOURCE_GROUP]}}})
    spec = place_spec(world.endpoint)
    world.put(COMPUTE_TARGETS, ELSEWHERE, {"spec": spec | {"aci": spec["aci"] | {"subscriptionId": ILL}}})
    for number in range(MANY):
        world.apply(SPEC | {"computeTargetRef": {"name": ELSEWHERE.name}}, Key("demo", f"ill-{number}"))


@pytest.mark.leaves_groups
@pytest.mark.parametrize(
    ("effect", "path"),
    [
        (Delay(20), ILL),
        (Delay(20), f"{ILL}.*/containerGroups$"),
        (Refuse(429, "TooManyRequests", retry_after=30), ILL),
        (Refuse(503), ILL),
    ],
    ids=["hangs", "its list hangs", "throttled", "down"],
)
async def test_the_others_are_served_as_soon_as_ever(
    world: World, effect: TransportEffect, path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    usual = await seconds_to_serve(world, "before")
    apply_to_the_ill(world)
    world.azure.faults.add(effect, path=path, times=None)
    beside = await seconds_to_serve(world, "well")
    with capsys.disabled():
        print(f"\n{WELL} groups asked for in {usual:.2f} s, beside {MANY} in trouble in {beside:.2f} s")
    assert beside <= MOST_TIMES * usual + LEAST_SECONDS
