"""Hubs as Azure Resource Manager shows them."""

from typing import Any

import pytest
from azure_emulator import RESOURCE_GROUP, SUBSCRIPTION, configured, credential, transport
from iot_hub_emulator import HUB, Clients, base, connection_string, hub

from berth_sandbox.azure.clock import Clock
from berth_sandbox.azure.cloud import Azure
from berth_sandbox.azure.configuration import configure
from berth_sandbox.azure.server import Endpoint

HUBS = "providers/Microsoft.Devices/IotHubs"
IN_GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{RESOURCE_GROUP}/{HUBS}"
VERSION = "2023-06-30"


@pytest.fixture
def azure() -> Azure:
    azure = configured(Azure(clock=Clock(factor=0)))
    placed = {"subscription": SUBSCRIPTION, "resourceGroup": RESOURCE_GROUP}
    configure(azure, {"hubs": {HUB: hub(sku="S2", units=3, **placed), "elsewhere": hub(hosts=["localhost"])}})
    return azure


async def asked(endpoint: Endpoint, path: str, version: str = VERSION) -> tuple[int, Any]:
    async with transport(endpoint) as session, credential(endpoint, transport=session) as signed_in:
        token = await signed_in.get_token("https://management.azure.com/.default")
        async with session.session.get(
            f"{endpoint.url}{path}?api-version={version}", headers={"Authorization": f"Bearer {token.token}"}
        ) as answer:
            return answer.status, await answer.json()


async def test_the_resource_manager_knows_the_edition_of_a_hub(endpoint: Endpoint) -> None:
    status, found = await asked(endpoint, f"{IN_GROUP}/{HUB.upper()}")

    assert status == 200
    assert found["sku"] == {"name": "S2", "tier": "Standard", "capacity": 3}
    assert found["id"] == f"{IN_GROUP}/{HUB}"
    assert found["properties"]["hostName"] == "127.0.0.1"


async def test_hubs_are_told_apart_by_the_host_that_is_asked(azure: Azure, endpoint: Endpoint) -> None:
    one = Clients(endpoint, connection_string(endpoint))
    other = Clients(endpoint, connection_string(endpoint).replace("127.0.0.1", "localhost"))

    await one.create(base())

    assert await other(other.configurations.get_configurations) == []
    assert list(azure.hubs.hub(HUB).fleet.deployments) == ["base"]


async def test_hubs_are_found_by_subscription(endpoint: Endpoint) -> None:
    _, found = await asked(endpoint, f"/subscriptions/{SUBSCRIPTION}/{HUBS}")
    _, nothing = await asked(endpoint, f"/subscriptions/subid/{HUBS}")

    assert [one["name"] for one in found["value"]] == [HUB]
    assert nothing["value"] == []


async def test_a_hub_that_is_not_there_is_not_found(endpoint: Endpoint) -> None:
    status, found = await asked(endpoint, f"{IN_GROUP}/nowhere")

    assert (status, found["error"]["code"]) == (404, "ResourceNotFound")


async def test_each_provider_has_versions_of_its_own(endpoint: Endpoint) -> None:
    status, found = await asked(endpoint, f"{IN_GROUP}/{HUB}", "2023-05-01")

    assert (status, found["error"]["code"]) == (400, "NoRegisteredProviderFound")
    assert VERSION in found["error"]["message"]
