from collections.abc import AsyncIterator

import pytest
from azure_emulator import RESOURCE_GROUP, SUBSCRIPTION
from azure_world import Clock
from iot_edge_world import DEVICES, EdgeWorld
from iot_hub_emulator import HUB, hub

from berth.azure.connection import Connection
from berth.azure.hubs import Hubs
from berth_sandbox.azure.cloud import Azure
from berth_sandbox.azure.configuration import configure
from berth_sandbox.azure.server import Endpoint


@pytest.fixture
async def world(azure: Azure, endpoint: Endpoint) -> AsyncIterator[EdgeWorld]:
    """Three devices of plant-1 with a base deployment, and one of plant-2."""
    configure(
        azure,
        {"hubs": {HUB: hub(subscription=SUBSCRIPTION, resourceGroup=RESOURCE_GROUP, sku="S2", units=4)}},
    )
    found = azure.hubs.hub(HUB)
    found.register(list(DEVICES), {"site": "plant-1"}, is_edge=True)
    found.register(["mill-1"], {"site": "plant-2"}, is_edge=True)
    clock = Clock()
    connection = Connection(environment={}, clock=clock.monotonic, rand=lambda: 0.0)
    hubs = Hubs(connection, clock=clock.monotonic)
    world = EdgeWorld(azure, endpoint, found, hubs, clock)
    world.add_base()
    world.pass_time(60)
    yield world
    hubs.close()
    await connection.close()


@pytest.fixture
def hearing() -> str:
    """Say why nothing is judged here: the judge of Azure Resource Manager knows no hubs."""
    return "not a resource manager"
