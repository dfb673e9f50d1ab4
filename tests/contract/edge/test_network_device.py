"""A device whose modules reach it over the network, steered by the emulator's own interface."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from azure_emulator import configured, transport
from edge_world import Scorer, own_address, until
from iot_hub_emulator import HUB, hub
from scoring_servers import free_port, plain_environment

from berth_sandbox.azure.cloud import Azure
from berth_sandbox.azure.configuration import configure
from berth_sandbox.azure.devices.device import NetworkDevice
from berth_sandbox.azure.server import served

SCRIPT = "import json\ndef init(): ...\ndef run(data): return json.loads(data)['answer']\n"
ROUTES = (
    'FROM /messages/modules/camera/outputs/features INTO BrokeredEndpoint("/modules/iris/inputs/amlInput")',
    "FROM /messages/modules/iris/outputs/amlOutput INTO $upstream",
)
DEVICE = "press-1"


@pytest.fixture
async def azure(tmp_path: Path) -> AsyncIterator[tuple[NetworkDevice, aiohttp.ClientSession, str]]:
    """A device that is served, and how the emulator's own interface is reached."""
    made, address = configured(Azure()), own_address()
    described = hub(devices={DEVICE: {}}, gateways={DEVICE: {"name": address}})
    configure(made, {"hubs": {HUB: described}})
    device = made.hubs.hub(HUB).edges[DEVICE]
    device.hub.route(ROUTES)
    async with (
        device.served(address),
        served(made, tmp_path / "authority") as endpoint,
        transport(endpoint) as session,
    ):
        yield device, session.session, f"{endpoint.url}/_emulator/hubs/{HUB}/devices"


@pytest.fixture
async def scorer(azure: tuple[NetworkDevice, Any, str], tmp_path: Path) -> AsyncIterator[Scorer]:
    """Our server, with the variables of a module on that device."""
    device, port = azure[0], free_port()
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "score.py").write_text(SCRIPT)
    code = {"uri": f"file://{tmp_path}/code"}
    document = {"name": "iris", "target": "IoTEdge", "port": port, "code": code, "edge": {}}
    environment = plain_environment() | {
        "BERTH_SCORING_CONFIG": json.dumps(document),
        "BERTH_APP_ROOT": str(tmp_path / "app"),
        "BERTH_TERMINATION_LOG": str(tmp_path / "termination-log"),
        "BERTH_DRAIN_SECONDS": "0",
        **device.environment("iris"),
    }
    running = Scorer(environment, port, tmp_path)
    await running.start()
    await until(lambda: device.hub.sessions["iris"].filters)
    yield running
    await running.kill()


async def test_a_module_that_reaches_its_device_by_network_answers_on_both_ways_without_the_hub(
    azure: tuple[NetworkDevice, aiohttp.ClientSession, str], scorer: Scorer
) -> None:
    _, session, url = azure
    async with session.put(url, json={"devices": [DEVICE], "online": False}) as answer:
        assert (await answer.json())["connectedDeviceCount"] == 0

    message = {"module": "camera", "output": "features", "body": {"answer": "setosa"}}
    async with session.post(f"{url}/{DEVICE}/messages", json=message) as answer:
        assert answer.status == 200
    (result,) = await _upstream(session, f"{url}/{DEVICE}/messages")

    assert (result["module"], result["output"], result["body"]) == ("iris", "amlOutput", '"setosa"')
    assert result["properties"]["AzureMLResponse"] == "OK"
    assert await scorer.get("/score", b'{"answer": "setosa"}') == (200, '"setosa"')


async def test_a_module_that_the_device_does_not_know_has_no_key(
    azure: tuple[NetworkDevice, aiohttp.ClientSession, str],
) -> None:
    device, session, _ = azure
    workload = device.environment("iris")["IOTEDGE_WORKLOADURI"]
    for module, status in (("iris", 200), ("another", 404)):
        asked = {"keyId": "primary", "algo": "HMACSHA256", "data": "YQ=="}
        async with session.post(f"{workload}/modules/{module}/genid/1/sign", json=asked) as answer:
            assert answer.status == status


async def _upstream(session: aiohttp.ClientSession, url: str) -> list[dict[str, Any]]:
    end = time.monotonic() + 20
    while True:
        async with session.get(url) as answer:
            found: list[dict[str, Any]] = (await answer.json())["value"]
        if found or time.monotonic() > end:
            return found
        await asyncio.sleep(0.05)
