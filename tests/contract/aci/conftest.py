from collections.abc import AsyncIterator

import pytest
from aci_world import Clock, World

from berth.azure.connection import Connection
from berth_sandbox.azure.cloud import Azure
from berth_sandbox.azure.server import Endpoint


@pytest.fixture
async def world(azure: Azure, endpoint: Endpoint) -> AsyncIterator[World]:
    clock = Clock()
    connection = Connection(environment={}, clock=clock.monotonic, rand=lambda: 0.0)
    yield World(azure, endpoint, connection, clock)
    await connection.close()
