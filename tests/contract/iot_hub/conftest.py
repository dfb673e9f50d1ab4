from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import iot_hub_specs
import pytest
from azure_emulator import configured
from azure_judge import Judge, judging
from iot_hub_emulator import HUB, Clients, connection_string, hub
from npm_packages import RegistryUnreachableError

from berth_sandbox.azure.clock import Clock
from berth_sandbox.azure.cloud import Azure
from berth_sandbox.azure.configuration import configure
from berth_sandbox.azure.iot_hub.hub import Hub
from berth_sandbox.azure.server import Endpoint, served

SCRIPT = Path(__file__).parents[1] / "azure" / "oav" / "judge.js"
DEVICES = {"press-1": {"site": "plant-1"}, "press-2": {"site": "plant-1"}, "oven-1": {"site": "plant-2"}}


@pytest.fixture(scope="session")
def hub_hearing() -> Iterator[Judge | str]:
    """Microsoft's validator, or why it cannot be had."""
    with ExitStack() as running:
        if not iot_hub_specs.DESCRIPTION.exists():
            yield iot_hub_specs.MISSING
            return
        try:
            judge = running.enter_context(judging(SCRIPT, iot_hub_specs.DESCRIPTION))
        except RegistryUnreachableError:
            yield "oav cannot be installed: the npm registry does not answer"
            return
        yield judge


@pytest.fixture
def judge(hub_hearing: Judge | str) -> Judge:
    if isinstance(hub_hearing, str):
        pytest.skip(hub_hearing)
    return hub_hearing


@pytest.fixture
def azure() -> Azure:
    """An emulated Azure with a hub of three devices, whose clock stands until a test moves it."""
    azure = configured(Azure(clock=Clock(factor=0)))
    configure(azure, {"hubs": {HUB: hub(devices=DEVICES)}})
    return azure


@pytest.fixture
def plants(azure: Azure) -> Hub:
    return azure.hubs.hub(HUB)


@pytest.fixture
async def endpoint(azure: Azure, authority: Path, hub_hearing: Judge | str) -> AsyncIterator[Endpoint]:
    """Where the emulated hub is; all that goes over the wire is judged by Microsoft's validator."""
    async with served(azure, authority) as serving:
        yield serving
    if not isinstance(hub_hearing, str):
        assert hub_hearing.findings(azure.requests) == []


@pytest.fixture
def clients(endpoint: Endpoint) -> Clients:
    return Clients(endpoint, connection_string(endpoint))
