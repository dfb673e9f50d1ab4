"""The other clients of the SDK: what a region offers, and the inside of containers."""

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.mgmt.containerinstance import models
from azure.mgmt.containerinstance.aio import ContainerInstanceManagementClient as Client
from azure_emulator import RESOURCE_GROUP, begin, container

STARTED = 20


async def test_usages_count_groups_and_cores(client: Client) -> None:
    await begin(client, "small", container(cpu=1.5))
    await begin(client, "spot", container(cpu=4), priority="Spot")

    usages = {usage.name.value: usage async for usage in client.location.list_usage("East US")}

    assert {name: usage.current_value for name, usage in usages.items()} == {
        "ContainerGroups": 2,
        "StandardCores": 2,
        "StandardSpotCores": 4,
    }
    assert usages["ContainerGroups"].limit == 100
    assert usages["ContainerGroups"].unit == "Count"
    elsewhere = {usage.name.value: usage async for usage in client.location.list_usage("westus")}
    assert elsewhere["ContainerGroups"].current_value == 0


async def test_capabilities_say_how_large_a_group_can_be(client: Client) -> None:
    offers = [offer async for offer in client.location.list_capabilities("eastus")]

    largest = next(offer for offer in offers if (offer.os_type, offer.ip_address_type) == ("Linux", "Public"))
    assert (largest.location, largest.gpu) == ("East US", "None")
    assert (largest.capabilities.max_cpu, largest.capabilities.max_memory_in_gb) == (31, 240)


async def test_cached_images_are_listed(client: Client) -> None:
    images = [entry.image async for entry in client.location.list_cached_images("eastus")]

    assert "alpine:3.6" in images


async def test_a_region_without_the_service_is_said_so(client: Client) -> None:
    with pytest.raises(HttpResponseError) as caught:
        _ = [usage async for usage in client.location.list_usage("atlantis")]

    assert caught.value.error.code == "LocationNotAvailableForResourceType"
    assert "eastus" in caught.value.error.message


async def test_a_container_can_be_entered(client: Client) -> None:
    await begin(client)
    asked = models.ContainerExecRequest(
        command="/bin/sh", terminal_size=models.ContainerExecRequestTerminalSize(rows=24, cols=80)
    )

    entered = await client.containers.execute_command(RESOURCE_GROUP, "iris", "scoring", asked)
    attached = await client.containers.attach(RESOURCE_GROUP, "iris", "scoring")

    assert entered.web_socket_uri.startswith("wss://127.0.0.1:")
    assert entered.password != attached.password
    with pytest.raises(ResourceNotFoundError):
        await client.containers.attach(RESOURCE_GROUP, "iris", "another")


async def test_a_group_depends_on_no_endpoint(client: Client) -> None:
    await begin(client)

    endpoints = await client.container_groups.get_outbound_network_dependencies_endpoints(
        RESOURCE_GROUP, "iris"
    )

    assert endpoints == []


async def test_the_operations_of_the_provider_are_listed(client: Client) -> None:
    names = [operation.name async for operation in client.operations.list()]

    assert "Microsoft.ContainerInstance/containerGroups/write" in names
