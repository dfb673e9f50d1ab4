from collections.abc import AsyncIterator

import pytest
from aci_hours import clear_up
from aci_world import World
from azure_emulator import configured
from azure_judge import Record
from azure_world import Clock

from berth.azure.connection import Connection
from berth_sandbox.azure.clock import Clock as Standing
from berth_sandbox.azure.cloud import Azure
from berth_sandbox.azure.server import Endpoint
from berth_sandbox.azure.simulation import Simulation
from berth_sandbox.azure.throttle import Limits


@pytest.fixture
def azure(simulation: Simulation) -> Azure:
    """An emulated Azure whose clock stands; it counts requests by the wall's, in which no time goes by."""
    buckets = dict.fromkeys(("reads", "writes", "deletes"), (100_000, 1.0))
    endless = Limits(buckets, dict.fromkeys(("pt5m", "pt1h"), 100_000))
    return configured(Azure(backing=simulation, clock=Standing(factor=0), limits=endless, requests=Record()))


@pytest.fixture
async def world(azure: Azure, endpoint: Endpoint, request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """Whatever a test does to it, deletion leaves nothing in Azure, but for a test that says so."""
    clock = Clock()
    connection = Connection(environment={}, clock=clock.monotonic, rand=lambda: 0.0)
    world = World(azure, endpoint, connection, clock)
    try:
        yield world
        if not request.node.get_closest_marker("leaves_groups"):
            await clear_up(world)
            assert world.groups == []
    finally:
        await connection.close()
