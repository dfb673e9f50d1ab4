"""What a hub is asked at rest: 99 deployments and 10,000 devices, and no more than for one of each."""

from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from azure_emulator import configured
from azure_world import Clock
from iot_edge_world import PLACE, EdgeWorld, edge_spec, place_spec
from iot_hub_emulator import HUB, hub

from berth.azure.connection import Connection
from berth.azure.hubs import Hubs
from berth.core.keys import Key
from berth.plan.resources import COMPUTE_TARGETS
from berth_sandbox.azure.clock import Clock as ServiceClock
from berth_sandbox.azure.cloud import Azure
from berth_sandbox.azure.configuration import configure
from berth_sandbox.azure.server import served
from berth_sandbox.azure.simulation import Simulation

DEPLOYMENTS, DEVICES = 99, 10_000
MINUTES = 10
CALLS_A_MINUTE = 4
"""One list, two numbers of devices, and a look at what is news now and then."""
KEYS = [Key("demo", f"model-{number}") for number in range(DEPLOYMENTS)]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[EdgeWorld]:
    azure = configured(Azure(backing=Simulation(), clock=ServiceClock(factor=0)))
    clock = Clock()
    async with served(azure, tmp_path) as endpoint:
        configure(azure, {"hubs": {HUB: hub()}})
        found = azure.hubs.hub(HUB)
        for number in range(DEPLOYMENTS):
            part = DEVICES // DEPLOYMENTS + (number < DEVICES % DEPLOYMENTS)
            names = [f"line-{number}-press-{each}" for each in range(part)]
            found.register(names, {"line": str(number)}, is_edge=True)
        connection = Connection(environment={}, clock=clock.monotonic, rand=lambda: 0.0)
        hubs = Hubs(connection, clock=clock.monotonic)
        world = EdgeWorld(azure, endpoint, found, hubs, clock)
        world.add_base()
        # As many units as there can be, so that it does not take half an hour to begin.
        world.put(COMPUTE_TARGETS, PLACE, {"spec": place_spec(endpoint, iotEdge={"units": 200})})
        yield world
        hubs.close()
        await connection.close()


async def minute(world: EdgeWorld) -> None:
    for key in KEYS:
        await world.attempt(key)
    await world.place_once()
    world.pass_time(60)


@pytest.mark.timeout(1200)
async def test_a_hub_is_asked_no_more_than_its_units_take(world: EdgeWorld) -> None:
    for number, key in enumerate(KEYS):
        world.apply(edge_spec(iotEdge={"targetCondition": f"tags.line='{number}'"}), key)
    for _ in range(40):
        await minute(world)
        if all(map(world.is_ready, KEYS)):
            break
    assert [key for key in KEYS if not world.is_ready(key)] == []
    assert len(world.hub.fleet.devices) == DEVICES
    for _ in range(6):
        await minute(world)
    world.azure.requests.clear()
    for _ in range(MINUTES):
        await minute(world)
    asked = Counter(each.operation for each in world.azure.requests)
    print(f"{sum(asked.values()) / MINUTES:.1f} calls a minute: {dict(asked)}")
    assert asked["Configuration_GetConfigurations"] == MINUTES
    assert not {each for each in asked if "CreateOrUpdate" in each or "Delete" in each}
    assert sum(asked.values()) <= CALLS_A_MINUTE * MINUTES, asked
