"""Each operation: what goes over the wire, and what comes back."""

import asyncio

import pytest
from azure_clients import Heard, asked, body, connections, groups_of
from azure_emulator import RESOURCE_GROUP, SUBSCRIPTION

from berth.azure.connection import Connection
from berth.azure.container_groups import ContainerGroups
from berth.core.errors import Gone
from berth_sandbox.azure.cloud import Azure
from berth_sandbox.azure.server import Endpoint
from berth_sandbox.azure.simulation import Behaviour, Simulation

STARTED = 60


async def test_a_group_is_put_with_one_request_that_holds_all(azure: Azure, groups: ContainerGroups) -> None:
    sent = body(dnsConfig={"nameServers": ["10.0.0.1"]})

    answer = await groups.put(RESOURCE_GROUP, "iris", sent)

    assert answer.status == 201
    assert answer.body["properties"]["provisioningState"] == "Pending"
    assert asked(azure) == {"Token": 1, "ContainerGroups_CreateOrUpdate": 1}
    (put,) = azure.requests.of("ContainerGroups_CreateOrUpdate")
    assert put.request_body == sent
    assert put.request_headers["User-Agent"].startswith("berth/")


async def test_a_put_over_a_group_is_an_update(azure: Azure, groups: ContainerGroups) -> None:
    await groups.put(RESOURCE_GROUP, "iris", body())
    azure.clock.advance(STARTED)

    assert (await groups.put(RESOURCE_GROUP, "iris", body("scoring:2"))).status == 200


async def test_a_group_is_read_as_it_came(azure: Azure, groups: ContainerGroups) -> None:
    await groups.put(RESOURCE_GROUP, "iris", body())
    azure.clock.advance(STARTED)

    answer = await groups.get(RESOURCE_GROUP, "iris")

    (got,) = azure.requests.of("ContainerGroups_Get")
    assert answer.body == got.response_body
    assert answer.body["properties"]["instanceView"]["state"] == "Running"
    # The models of the library have no such field.
    assert answer.body["properties"]["provisioningTimeoutInSeconds"] == 1800


async def test_a_group_is_deleted_and_then_gone(azure: Azure, groups: ContainerGroups) -> None:
    await groups.put(RESOURCE_GROUP, "iris", body())

    answer = await groups.delete(RESOURCE_GROUP, "iris")

    assert (answer.status, answer.body["name"]) == (200, "iris")
    with pytest.raises(Gone):
        await groups.get(RESOURCE_GROUP, "iris")
    assert asked(azure)["ContainerGroups_Delete"] == 1


async def test_what_was_never_there_has_no_body_when_it_is_deleted(groups: ContainerGroups) -> None:
    answer = await groups.delete(RESOURCE_GROUP, "iris")

    assert (answer.status, answer.body) == (204, {})


async def test_containers_are_restarted(azure: Azure, groups: ContainerGroups) -> None:
    await groups.put(RESOURCE_GROUP, "iris", body())
    azure.clock.advance(STARTED)

    assert (await groups.restart(RESOURCE_GROUP, "iris")).status == 204
    assert asked(azure)["ContainerGroups_Restart"] == 1


async def test_the_last_lines_of_a_container_are_read(
    azure: Azure, simulation: Simulation, groups: ContainerGroups
) -> None:
    simulation.behaviours["scoring:1"] = Behaviour(log=("one", "two", "three"))
    await groups.put(RESOURCE_GROUP, "iris", body())
    azure.clock.advance(STARTED)

    assert (await groups.logs(RESOURCE_GROUP, "iris", "scoring", tail=2)).split() == ["two", "three"]


async def test_a_list_is_read_page_by_page(azure: Azure, groups: ContainerGroups) -> None:
    names = [f"iris-{number}" for number in range(5)]
    for name in names:
        await groups.put(RESOURCE_GROUP, name, body())
    azure.manager._operations._page_size = 2

    answer = await groups.list_by_resource_group(RESOURCE_GROUP)

    assert sorted(entry["name"] for entry in answer.body["value"]) == names
    pages = azure.requests.of("ContainerGroups_ListByResourceGroup")
    assert answer.body["value"] == [entry for page in pages for entry in page.response_body["value"]]
    assert len(pages) == 3


async def test_an_empty_list_is_one_request(azure: Azure, groups: ContainerGroups) -> None:
    assert (await groups.list_by_resource_group(RESOURCE_GROUP)).body == {"value": []}
    assert asked(azure)["ContainerGroups_ListByResourceGroup"] == 1


async def test_usages_and_capabilities_of_a_region_are_read(azure: Azure, groups: ContainerGroups) -> None:
    await groups.put(RESOURCE_GROUP, "iris", body())

    usages = (await groups.usages("eastus")).body["value"]
    capabilities = (await groups.capabilities("eastus")).body["value"]

    used = {usage["name"]["value"]: usage["currentValue"] for usage in usages}
    assert used["ContainerGroups"] == 1
    assert {entry["capabilities"]["maxCpu"] for entry in capabilities} == {31}
    assert asked(azure)["Location_ListUsage"] == asked(azure)["Location_ListCapabilities"] == 1


async def test_answers_carry_what_remains_by_azures_counters(heard: Heard, groups: ContainerGroups) -> None:
    put = await groups.put(RESOURCE_GROUP, "iris", body())
    got = await groups.get(RESOURCE_GROUP, "iris")
    listed = await groups.list_by_resource_group(RESOURCE_GROUP)

    assert put.remaining == {
        "writes": 199,
        "resource-requests-pt5m": 899,
        "resource-requests-pt1h": 1799,
    }
    assert (got.remaining["reads"], listed.remaining["reads"]) == (249, 248)
    assert heard.counters == {**put.remaining, "reads": 248}


async def test_all_calls_after_another_use_one_connection(azure: Azure, groups: ContainerGroups) -> None:
    await groups.put(RESOURCE_GROUP, "iris", body())
    for _ in range(50):
        await groups.get(RESOURCE_GROUP, "iris")
    await groups.list_by_resource_group(RESOURCE_GROUP)

    assert len(azure.requests.connections()) == 1
    assert asked(azure)["Token"] == 1


async def test_calls_side_by_side_use_as_many_connections_and_keep_them(
    azure: Azure, groups: ContainerGroups
) -> None:
    await groups.put(RESOURCE_GROUP, "iris", body())
    for _ in range(5):
        await asyncio.gather(*(groups.get(RESOURCE_GROUP, "iris") for _ in range(4)))

    assert len(connections(azure, "ContainerGroups_Get")) <= 4


async def test_two_subscriptions_share_sign_in_and_connection(
    azure: Azure, connection: Connection, endpoint: Endpoint
) -> None:
    for subscription, resource_group in ((SUBSCRIPTION, RESOURCE_GROUP), ("subid", "demo")):
        groups = await groups_of(connection, endpoint, subscription)
        await groups.list_by_resource_group(resource_group)

    assert asked(azure) == {"Token": 1, "ContainerGroups_ListByResourceGroup": 2}
    assert len(connections(azure, "ContainerGroups_ListByResourceGroup")) == 1


async def test_many_first_calls_at_once_sign_in_once(
    azure: Azure, connection: Connection, endpoint: Endpoint
) -> None:
    wanted = [(SUBSCRIPTION, RESOURCE_GROUP), ("subid", "demo"), (SUBSCRIPTION, RESOURCE_GROUP)]
    opened = await asyncio.gather(*(groups_of(connection, endpoint, name) for name, _ in wanted))
    await asyncio.gather(
        *(groups.list_by_resource_group(name) for groups, (_, name) in zip(opened, wanted, strict=True))
    )

    assert asked(azure) == {"Token": 1, "ContainerGroups_ListByResourceGroup": 3}
    assert opened[0] is opened[2]


async def test_no_call_asks_for_the_end_of_an_operation(azure: Azure, groups: ContainerGroups) -> None:
    await groups.put(RESOURCE_GROUP, "iris", body())
    await groups.delete(RESOURCE_GROUP, "iris")

    assert asked(azure)["Operation_Get"] == 0
    assert azure.service.group_ids() == []
