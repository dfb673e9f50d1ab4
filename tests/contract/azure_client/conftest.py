from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from azure_clients import Heard, Watch, groups_of, token_file
from azure_emulator import CLIENT, TENANT

from berth.azure.connection import Connection
from berth.azure.container_groups import ContainerGroups
from berth_sandbox.azure.server import Endpoint


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """What the workload identity's webhook gives a pod."""
    return {
        "AZURE_TENANT_ID": TENANT,
        "AZURE_CLIENT_ID": CLIENT,
        "AZURE_FEDERATED_TOKEN_FILE": str(token_file(tmp_path)),
    }


@pytest.fixture
async def connection(heard: Heard, environment: dict[str, str], watch: Watch) -> AsyncIterator[Connection]:
    """The operator's side; its time stands, but for deadlines."""
    opened = Connection(heard, environment=environment, clock=watch, rand=lambda: 0.0)
    yield opened
    await opened.close()


@pytest.fixture
async def groups(connection: Connection, endpoint: Endpoint) -> ContainerGroups:
    return await groups_of(connection, endpoint)
