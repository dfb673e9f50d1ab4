"""The emulator's own interface to hubs, and a hub of the emulator as a process."""

import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from azure_emulator import transport
from iot_hub_emulator import HUB, IMAGE, Clients, base, connection_string, hub, layer

from berth_sandbox.azure.cloud import Azure
from berth_sandbox.azure.server import Endpoint

SETTLED = 120


class Admin:
    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def __call__(self, method: str, path: str, body: Any = None, status: int = 200) -> Any:
        async with self._session.request(method, f"{self._url}/_emulator/hubs/{path}", json=body) as answer:
            assert answer.status == status, await answer.text()
            return await answer.json()


@pytest.fixture
async def admin(endpoint: Endpoint) -> AsyncIterator[Admin]:
    async with transport(endpoint) as session:
        yield Admin(session.session, endpoint.url)


async def test_a_hub_tells_what_it_holds(admin: Admin, clients: Clients) -> None:
    await clients.create(layer())

    assert await admin("GET", HUB) == {
        "sku": "S1",
        "units": 1,
        "configurations": ["iris"],
        "totalDeviceCount": 3,
        "enabledDeviceCount": 3,
        "disabledDeviceCount": 0,
        "connectedDeviceCount": 3,
    }


async def test_devices_are_registered_by_the_thousand(admin: Admin, clients: Clients) -> None:
    fleet = {"prefix": "line-", "count": 1000, "tags": {"site": "plant-3"}}

    found = await admin("POST", f"{HUB}/devices", {"fleets": [fleet], "devices": {"single": {}}})

    assert found["totalDeviceCount"] == 1004
    assert (await clients(clients.registry.get_twin, "line-999")).tags == {"site": "plant-3"}


async def test_devices_are_steered(admin: Admin, azure: Azure, clients: Clients) -> None:
    failing = {"devices": ["press-2"], "images": {IMAGE: {"pull_error": "not found"}}}
    azure.clock.advance(1)
    await admin("PUT", f"{HUB}/devices", failing)
    await admin("PUT", f"{HUB}/devices", {"devices": ["oven-1"], "online": False})
    await admin("PUT", f"{HUB}/devices", {"reported": {"model": "k4"}})
    await clients.create(base())
    await clients.create(layer(condition="properties.reported.model = 'k4'"))
    azure.clock.advance(SETTLED)

    codes = [
        (await clients.agent(device)).properties.reported["lastDesiredStatus"]["code"]
        for device in ("press-1", "press-2", "oven-1")
    ]

    assert codes == [200, 500, 417]


async def test_a_deployment_is_deleted_behind_its_owners_back(admin: Admin, clients: Clients) -> None:
    await clients.create(layer())

    assert (await admin("DELETE", f"{HUB}/configurations?id=iris"))["configurations"] == []
    await admin("DELETE", f"{HUB}/configurations?id=iris", status=400)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("nowhere/devices", {}),
        (f"{HUB}/devices", {"devices": ["nobody"], "online": False}),
        (f"{HUB}/devices", {"images": {IMAGE: {"colour": "red"}}}),
    ],
)
async def test_what_cannot_be_done_is_told(admin: Admin, path: str, body: Any) -> None:
    await admin("PUT", path, body, status=400)


@contextmanager
def running(folder: Path) -> Iterator[Endpoint]:
    configuration = folder / "azure.json"
    configuration.write_text(json.dumps({"hubs": {HUB: hub(devices={"press-1": {}})}}))
    command = [sys.executable, "-m", "berth_sandbox.azure", "--folder", folder, "--factor", "600"]
    with subprocess.Popen(
        [*command, "--configuration", configuration], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        told = json.loads(process.stdout.readline())
        try:
            yield Endpoint(told["url"], Path(told["caFile"]), told["plainUrl"])
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0


def test_the_emulator_as_a_process_serves_a_hub(tmp_path: Path) -> None:
    with running(tmp_path) as endpoint:
        clients = Clients(endpoint, connection_string(endpoint))

        clients.configurations.create_configuration(base())

        assert clients.registry.get_device("press-1").capabilities.iot_edge
        assert [one.id for one in clients.configurations.get_configurations()] == ["base"]
