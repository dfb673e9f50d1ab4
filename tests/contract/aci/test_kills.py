"""An operator may die after each of its writes and each answer of Azure: the next one makes up for it.

One life goes from apply to Ready, through an update and a new group, to nothing; in each of these four phases
the operator dies once, after the same number of calls.
"""

from collections.abc import Awaitable, Callable

import pytest
from aci_hours import spend
from aci_world import SPEC, World
from azure_world import Killed

LOCKED = SPEC | {"auth": {"mode": "Key"}}
CHANGED = LOCKED | {"env": [{"name": "A", "value": "b"}]}
LARGER = CHANGED | {"resources": {"requests": {"cpu": 2, "memory": "4G"}}}
WHOLE_LIFE = ["CreateOrUpdate", "CreateOrUpdate", "Delete", "CreateOrUpdate", "Delete"]
PHASE_SECONDS = 90
CALLS_OF_A_PHASE = 18
"""Questions and writes of the longest phase, at least."""
QUESTIONS_OF_A_PHASE = 10

Phase = Callable[[World, int], Awaitable[bool]]


@pytest.fixture
def world(world: World) -> World:
    """An operator that may die after its writes to the cluster, too."""
    world.cluster.after_write = world.mortal.count
    return world


async def survive(world: World, after: int) -> bool:
    """Work on with a new operator once the first has died, and tell whether it has."""
    world.mortal.calls, world.mortal.last = 0, after
    try:
        await spend(world, PHASE_SECONDS, workers=1)
    except* Killed:
        world.mortal.last = None
        world.restart()
        await spend(world, PHASE_SECONDS, workers=1)
    return world.mortal.last is None


async def miss(world: World, number: int) -> bool:
    """Lose an answer, and that to what aiohttp asks instead; tell whether there was one."""
    world.mortal.asked, world.mortal.loses = 0, number
    await spend(world, PHASE_SECONDS, workers=1)
    return world.mortal.loses is None


async def live(world: World, phase: Phase, number: int) -> int:
    """Live a whole life, and tell in how many of its phases something went wrong."""
    struck = 0
    world.azure.requests.clear()
    for spec in (LOCKED, CHANGED, LARGER):
        world.apply(spec)
        struck += await phase(world, number)
        assert world.is_ready
        assert len(world.groups) == 1
    world.delete()
    struck += await phase(world, number)
    assert world.get() is None
    assert world.groups == []
    return struck


async def test_an_operator_that_dies_after_any_call_costs_no_group_and_no_restart(world: World) -> None:
    calls = 0
    while await live(world, survive, calls + 1):
        assert world.writes == WHOLE_LIFE
        calls += 1
    assert world.writes == WHOLE_LIFE
    assert calls >= CALLS_OF_A_PHASE


async def test_an_answer_that_is_lost_anywhere_costs_no_group(world: World) -> None:
    calls = 0
    while await live(world, miss, calls + 1):
        calls += 1
    assert calls >= QUESTIONS_OF_A_PHASE
