from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from edge_world import World, edge_world


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with edge_world(tmp_path) as running:
        yield running
