from collections.abc import AsyncIterator

import pytest
from aci_world import World

from berth.azure.connection import Connection
from berth_sandbox.azure.cloud import Azure
from berth_sandbox.azure.server import Endpoint


@pytest.fixture
async def world(azure: Azure, endpoint: Endpoint) -> AsyncIterator[World]:
    connection = Connection(environment={}, rand=lambda: 0.0)
    yield World(azure, endpoint, connection)
    await connection.close()
