"""A session recorded with a real hub, asked again of the emulator and compared answer by answer."""

import json
import re
import ssl
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import iot_hub_specs
import pytest
from azure.iot.hub.sastoken import SasToken
from azure_emulator import configured
from iot_hub_emulator import HUB, KEY, hub

from berth_sandbox.azure.clock import Clock
from berth_sandbox.azure.cloud import Azure
from berth_sandbox.azure.configuration import configure
from berth_sandbox.azure.server import Endpoint

if not iot_hub_specs.DESCRIPTION.exists():
    pytest.skip(iot_hub_specs.MISSING, allow_module_level=True)

BEGIN = datetime.fromisoformat("2021-12-09T20:22:04.519249+00:00")
UPDATED = datetime.fromisoformat("2021-12-09T20:22:05.691110+00:00")
DEVICE, NUMBER = "UpdateWithETag1136204569", 343060357
OF_THE_CONNECTION = {"date", "content-length"}
TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.\d+Z")
TRACKING = re.compile(r"Tracking ID:[0-9a-f]{32}-G:\d+-TimeStamp:[\d/]+ [\d:]+")


@pytest.fixture
def azure() -> Azure:
    azure = configured(Azure(clock=Clock(factor=0, start=BEGIN)))
    configure(azure, {"hubs": {HUB: hub()}})
    return azure


async def test_the_recorded_session_is_answered_in_the_same_way(azure: Azure, endpoint: Endpoint) -> None:
    plants = azure.hubs.hub(HUB)
    plants.register([DEVICE], {}, is_edge=False)
    plants.fleet.devices[DEVICE].number = NUMBER
    puts = 0
    async with connected(endpoint) as session:
        for exchange in iot_hub_specs.recording():
            puts += exchange["method"] == "PUT"
            if puts == 2:
                azure.clock.advance(max(0.0, (UPDATED - azure.clock.now()).total_seconds()))
            parts = urlsplit(exchange["url"])
            async with session.request(
                exchange["method"],
                f"{endpoint.url}{parts.path}?{parts.query}",
                json=sent(exchange),
                headers={**exchange["requestHeaders"], "Authorization": signature(endpoint)},
            ) as answer:
                assert answer.status == exchange["status"]
                body = await answer.json() if answer.status != 204 else None
                assert normal(body) == normal(exchange["responseBody"])
                assert headers(dict(answer.headers)) == headers(exchange["headers"])
    azure.requests.clear()  # of another version than the description


def connected(endpoint: Endpoint) -> aiohttp.ClientSession:
    context = ssl.create_default_context(cafile=str(endpoint.ca_file))
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context))


def sent(exchange: dict[str, Any]) -> Any:
    """Return the body of a request; of the identity the recording keeps only that there was one."""
    body = exchange["requestBody"]
    return {"deviceId": DEVICE, "status": "enabled"} if isinstance(body, str) else body


def signature(endpoint: Endpoint) -> str:
    return str(SasToken(endpoint.url.removeprefix("https://"), KEY, "iothubowner"))


def normal(value: Any) -> Any:
    """Return a JSON value with times to the second, and without what is another each time."""
    text = TIME.sub(r"\1", json.dumps(value, sort_keys=True))
    return json.loads(TRACKING.sub("Tracking ID", text))


def headers(received: dict[str, str]) -> dict[str, str]:
    lower = {name.lower(): value for name, value in received.items()}
    return {name: value for name, value in lower.items() if name not in OF_THE_CONNECTION}
