"""The emulator's own interface, and the emulator as a process."""

import asyncio
import json
import signal
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.mgmt.containerinstance.aio import ContainerInstanceManagementClient as Client
from azure_emulator import CONFIGURATION, begin, configured, connected, get, group_id, transport

from berth_sandbox.azure.clock import Clock
from berth_sandbox.azure.cloud import Azure
from berth_sandbox.azure.server import Endpoint, served, served_from_thread


class Admin:
    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def __call__(self, method: str, path: str, body: Any = None, status: int = 200) -> Any:
        async with self._session.request(method, f"{self._url}/_emulator/{path}", json=body) as answer:
            assert answer.status == status, await answer.text()
            return await answer.json()


@pytest.fixture
async def admin(endpoint: Endpoint) -> AsyncIterator[Admin]:
    async with transport(endpoint) as session:
        yield Admin(session.session, endpoint.url)


async def test_faults_are_planned_listed_and_cleared(client: Client, admin: Admin) -> None:
    throttled = {"effect": "Refuse", "with": {"status": 429, "code": "TooManyRequests", "retry_after": 3}}
    await admin("POST", "faults", {**throttled, "method": "PUT", "times": 2})

    with pytest.raises(HttpResponseError) as caught:
        await begin(client)

    assert caught.value.response.headers["Retry-After"] == "3"
    (planned,) = (await admin("GET", "faults")).values()
    assert (planned["effect"], planned["method"], planned["times"]) == ("Refuse", "PUT", 1)
    await admin("DELETE", "faults")
    await begin(client)


async def test_a_fault_that_no_one_knows_is_refused(admin: Admin) -> None:
    refused = await admin("POST", "faults", {"effect": "Earthquake"}, status=400)

    assert "Earthquake" in refused["error"]


async def test_time_is_set_and_told(client: Client, admin: Admin) -> None:
    before = await admin("GET", "clock")
    await begin(client)

    after = await admin("PUT", "clock", {"factor": 60, "advanceSeconds": 20})

    assert (before["factor"], after["factor"]) == (0, 60)
    assert (await get(client)).provisioning_state == "Succeeded"


async def test_the_log_is_told_by_operation(client: Client, admin: Admin) -> None:
    await begin(client)
    await get(client)

    everything = await admin("GET", "requests")
    puts = await admin("GET", "requests?operation=ContainerGroups_CreateOrUpdate")

    operations = [exchange["operation"] for exchange in everything["value"]]
    assert operations == ["Token", "ContainerGroups_CreateOrUpdate", "ContainerGroups_Get"]
    assert [(put["method"], put["status"]) for put in puts["value"]] == [("PUT", 201)]
    await admin("DELETE", "requests")
    assert await admin("GET", "requests") == {"value": []}


async def test_groups_are_listed_stopped_and_taken_away(azure: Azure, client: Client, admin: Admin) -> None:
    await begin(client)
    azure.clock.advance(20)
    assert await admin("GET", "groups") == {"value": [str(group_id("iris"))]}

    await admin("POST", f"groups/stop?id={group_id('iris')}")
    assert (await get(client)).instance_view.state == "Stopped"
    await admin("DELETE", f"groups?id={group_id('iris')}")

    assert await admin("GET", "groups") == {"value": []}
    with pytest.raises(ResourceNotFoundError):
        await get(client)


async def test_images_are_told_what_to_do(azure: Azure, client: Client, admin: Admin) -> None:
    await admin("PUT", "images", {"image": "scoring:1", "behaviour": {"run_seconds": 1, "exit_code": 3}})
    await begin(client)
    azure.clock.advance(20)

    assert (await get(client)).containers[0].instance_view.previous_state.exit_code == 3


async def test_a_subscription_is_disabled_and_enabled(client: Client, admin: Admin) -> None:
    subscriptions = json.loads(json.dumps(CONFIGURATION["subscriptions"]))
    for described in subscriptions.values():
        described["enabled"] = False
    await admin("PUT", "configuration", {"subscriptions": subscriptions})

    with pytest.raises(HttpResponseError) as caught:
        await begin(client)

    assert caught.value.error.code == "ReadOnlyDisabledSubscription"
    await admin("PUT", "configuration", CONFIGURATION)
    await begin(client)


async def status(endpoint: Endpoint, context: ssl.SSLContext) -> int:
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session,
        session.get(f"{endpoint.url}/_emulator/groups") as answer,
    ):
        return answer.status


async def test_the_authority_outlives_the_server(tmp_path: Path) -> None:
    async with served(configured(Azure()), tmp_path) as endpoint:
        context = ssl.create_default_context(cafile=str(endpoint.ca_file))

    async with served(configured(Azure()), tmp_path) as again:
        assert await status(again, context) == 200


async def test_the_certificate_is_strictly_valid(endpoint: Endpoint) -> None:
    context = ssl.create_default_context(cafile=str(endpoint.ca_file))
    context.verify_flags |= ssl.VERIFY_X509_STRICT

    assert await status(endpoint, context) == 200


def test_an_emulator_serves_a_caller_without_a_loop(authority: Path) -> None:
    with served_from_thread(configured(Azure(clock=Clock(1000))), authority) as endpoint:

        async def create() -> str:
            async with connected(endpoint) as client:
                return str((await begin(client)).name)

        assert asyncio.run(create()) == "iris"


@contextmanager
def running(folder: Path) -> Iterator[tuple["subprocess.Popen[str]", Endpoint]]:
    configuration = folder / "configuration.json"
    configuration.write_text(json.dumps(CONFIGURATION))
    command = [sys.executable, "-m", "berth_sandbox.azure", "--folder", folder, "--factor", "1000"]
    with subprocess.Popen(
        [*command, "--configuration", configuration], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        told = json.loads(process.stdout.readline())
        yield process, Endpoint(told["url"], Path(told["caFile"]), told["plainUrl"])


async def test_the_emulator_is_a_process_that_ends_when_told(tmp_path: Path) -> None:
    with running(tmp_path) as (process, endpoint):
        async with connected(endpoint) as client:
            await begin(client)
            await asyncio.sleep(0.05)
            assert (await get(client)).provisioning_state == "Succeeded"
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
