"""A session recorded with the real service, asked again of the emulator and compared answer by answer."""

import json
import re
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import azure_specs
import pytest
from azure_emulator import configured, credential, transport
from azure_judge import Record

from berth_sandbox.azure.clock import Clock
from berth_sandbox.azure.cloud import Azure
from berth_sandbox.azure.server import Endpoint
from berth_sandbox.azure.simulation import Behaviour, Simulation

BEGIN = datetime.fromisoformat("2023-05-05T00:15:33.196324+00:00")
# What alpine did then.
ALPINE = Behaviour(
    schedule_seconds=4, pull_seconds=3, start_seconds=12, log=("hello",), log_interval_seconds=20
)
TIME = re.compile(r"\d{4}-\d\d-\d\dT(\d\d:\d\d:\d\d)(\.\d+)?Z")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
GUID = re.compile(r"operations/[0-9a-f-]{36}")
# What the recorder took out of the recording.
NOT_RECORDED = {
    "content-length",
    "server",
    "x-ms-correlation-request-id",
    "x-ms-ratelimit-remaining-subscription-reads",
    "x-ms-request-id",
}
OUR_OWN_LIMITS = "x-ms-ratelimit-remaining"


@pytest.fixture
def simulation() -> Simulation:
    return Simulation({"alpine:latest": ALPINE})


@pytest.fixture
def azure(simulation: Simulation) -> Azure:
    return configured(Azure(backing=simulation, clock=Clock(factor=0, start=BEGIN), requests=Record()))


@pytest.fixture
def recorded() -> list[dict[str, Any]]:
    if not azure_specs.FOLDER.exists():
        pytest.skip(azure_specs.MISSING)
    return azure_specs.recording()


async def test_the_recorded_session_is_answered_in_the_same_way(
    azure: Azure, endpoint: Endpoint, recorded: list[dict[str, Any]]
) -> None:
    operation = ""
    async with transport(endpoint) as session, credential(endpoint, transport=session) as signed_in:
        token = await signed_in.get_token("https://management.azure.com/.default")
        for exchange in recorded:
            if exchange["method"] != "PUT":  # which began at BEGIN, and took two seconds
                azure.clock.advance((answered_at(exchange) - azure.clock.now()).total_seconds())
            url = operation if "/operations/" in exchange["url"] else at(endpoint, exchange["url"])
            async with session.session.request(
                exchange["method"],
                url,
                json=exchange["requestBody"],
                headers={"Authorization": f"Bearer {token.token}"},
            ) as answer:
                operation = answer.headers.get("Azure-AsyncOperation", operation)
                assert answer.status == exchange["status"]
                assert normal(await answer.json(), endpoint) == normal(exchange["responseBody"], endpoint)
                assert headers(answer, endpoint) == expected(exchange["headers"], endpoint)


def answered_at(exchange: dict[str, Any]) -> datetime:
    return parsedate_to_datetime(exchange["headers"]["date"])


def at(endpoint: Endpoint, url: str) -> str:
    parts = urlsplit(url)
    return f"{endpoint.url}{parts.path}?{parts.query}"


def normal(value: Any, endpoint: Endpoint) -> Any:
    """Return a JSON value with times to the second, and without what is another each time."""
    text = json.dumps(value, sort_keys=True).replace("https://management.azure.com", endpoint.url)
    text = TIME.sub(r"\1", text)
    return json.loads(GUID.sub("operations/ID", DIGEST.sub("sha256:DIGEST", text)))


def headers(answer: aiohttp.ClientResponse, endpoint: Endpoint) -> dict[str, str]:
    lower = {name.lower(): value for name, value in answer.headers.items()}
    return expected({name: value for name, value in lower.items() if name not in NOT_RECORDED}, endpoint)


def expected(recorded: dict[str, str], endpoint: Endpoint) -> dict[str, str]:
    """Return headers without their numbers: the time is now, and the limits are another subscription's."""
    plain = {
        name: "" if name == "date" or name.startswith(OUR_OWN_LIMITS) else value
        for name, value in recorded.items()
    }
    normalised: dict[str, str] = normal(plain, endpoint)
    return normalised
