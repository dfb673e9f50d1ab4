"""How often Azure is asked for a hundred container groups: until they are Ready, and when idle."""

import random
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aci_hours import spend
from aci_world import SPEC, World
from azure_clients import asked
from azure_emulator import configured
from azure_world import Clock

from berth.azure.connection import Connection
from berth.core.keys import Key
from berth.plan.resources import MODEL_DEPLOYMENTS
from berth_sandbox.azure.clock import Clock as Standing
from berth_sandbox.azure.cloud import Azure
from berth_sandbox.azure.server import served
from berth_sandbox.azure.throttle import Limits

GROUPS = 100
WORKERS = 4
"""As many as may ask one subscription at once: no time goes by here while they ask."""
SETTLED_SECONDS = 300
IDLE_MINUTES = 20
# What Azure takes by default in five minutes, and in an hour.
LIMITS = Limits(windows={"pt5m": 100, "pt1h": 300})
MOST_READS_A_GROUP = 30
"""A pass that is sent away for its share of reads asks for its group again."""
MOST_READS_AN_IDLE_MINUTE = 1 + 1 + GROUPS / 10


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    azure = configured(Azure(clock=Standing(factor=0), limits=LIMITS))
    clock = Clock()
    azure.manager._elapsed = clock.monotonic
    connection = Connection(environment={}, clock=clock.monotonic, rand=random.Random(1).random)
    async with served(azure, tmp_path) as endpoint:
        yield World(azure, endpoint, connection, clock)
        await connection.close()


def taken(world: World) -> Counter[str]:
    """Count what was asked since the last look."""
    calls = asked(world.azure)
    assert not [each for each in world.azure.requests if each.status == 429]
    world.azure.requests.clear()
    return calls


@pytest.mark.timeout(900)
async def test_a_hundred_groups_settle_within_the_limits_and_cost_little(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(GROUPS):
        world.apply(SPEC, Key("demo", f"m{number}"))
        metadata = world.cluster.objects[MODEL_DEPLOYMENTS, Key("demo", f"m{number}")].metadata
        metadata["creationTimestamp"] = f"2026-11-01T12:{number // 60:02}:{number % 60:02}Z"

    await spend(world, SETTLED_SECONDS, WORKERS)

    connections = {each.connection for each in world.azure.requests}
    creation = taken(world)
    await spend(world, 60 * IDLE_MINUTES, WORKERS)
    idle = taken(world)
    with capsys.disabled():
        print(f"\n{GROUPS} groups to Ready: {dict(creation)}, over {len(connections)} connections")
        print(f"each idle minute: { {name: count / IDLE_MINUTES for name, count in idle.items()} }")
    ready = [world.condition("Ready", key=Key("demo", f"m{number}"))["status"] for number in range(GROUPS)]
    assert ready == ["True"] * GROUPS
    assert creation["ContainerGroups_CreateOrUpdate"] == len(world.groups) == GROUPS
    assert creation["ContainerGroups_Get"] <= MOST_READS_A_GROUP * GROUPS
    assert creation["Location_ListUsage"] <= 1.2 * GROUPS
    assert len(connections) <= WORKERS + 1
    writes = ("ContainerGroups_CreateOrUpdate", "ContainerGroups_Delete", "ContainerGroups_Update")
    assert not any(idle[name] for name in writes)
    assert idle.total() - idle["Token"] <= MOST_READS_AN_IDLE_MINUTE * IDLE_MINUTES * 1.1
