from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import azure_specs
import pytest
from azure.mgmt.containerinstance.aio import ContainerInstanceManagementClient
from azure_emulator import configured, connected
from azure_judge import Judge, Record, judging, whole
from npm_packages import RegistryUnreachableError

from berth_sandbox.azure.clock import Clock
from berth_sandbox.azure.cloud import Azure
from berth_sandbox.azure.server import Endpoint, served
from berth_sandbox.azure.simulation import Simulation

SCRIPT = Path(__file__).parent / "azure" / "oav" / "judge.js"


@pytest.fixture(scope="session")
def hearing() -> Iterator[Judge | str]:
    """Microsoft's validator, or why it cannot be had."""
    with ExitStack() as running:
        if not azure_specs.DESCRIPTIONS.exists():
            yield azure_specs.MISSING
            return
        try:
            judge = running.enter_context(judging(SCRIPT, azure_specs.DESCRIPTION))
        except RegistryUnreachableError:
            yield "oav cannot be installed: the npm registry does not answer"
            return
        yield judge


@pytest.fixture
def judge(hearing: Judge | str) -> Judge:
    if isinstance(hearing, str):
        pytest.skip(hearing)
    return hearing


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("authority")


@pytest.fixture
def simulation() -> Simulation:
    return Simulation()


@pytest.fixture
def azure(simulation: Simulation) -> Azure:
    """An emulated Azure whose clock stands until a test moves it."""
    return configured(Azure(backing=simulation, clock=Clock(factor=0), requests=Record()))


@pytest.fixture
async def endpoint(azure: Azure, authority: Path, hearing: Judge | str) -> AsyncIterator[Endpoint]:
    """Where the emulated Azure is; all that goes over the wire is judged by Microsoft's validator."""
    async with served(azure, authority) as serving:
        yield serving
    if not isinstance(hearing, str):
        assert hearing.findings(whole(azure)) == []


@pytest.fixture
async def client(endpoint: Endpoint) -> AsyncIterator[ContainerInstanceManagementClient]:
    async with connected(endpoint) as connection:
        yield connection


@pytest.fixture(scope="session")
def official_examples() -> dict[str, azure_specs.Example]:
    if not azure_specs.DESCRIPTIONS.exists():
        pytest.skip(azure_specs.MISSING)
    return azure_specs.examples()
