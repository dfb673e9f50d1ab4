"""Each way in which a call can go wrong: the error, its words, and what was asked."""

import pytest
from azure_clients import Heard, Watch, asked, body, cloud_at, groups_of
from azure_emulator import CLIENT, RESOURCE_GROUP, SECRET, SUBSCRIPTION, TENANT, configured

from berth.api.azure import Cloud, CloudName
from berth.api.conditions import Reason
from berth.azure.connection import Connection
from berth.azure.container_groups import ContainerGroups
from berth.core.errors import Gone, Immutable, Postponed, ReconcileError, Terminal, Transient
from berth_sandbox.azure.cloud import Azure
from berth_sandbox.azure.configuration import configure
from berth_sandbox.azure.faults import CutConnection, Delay, LoseAnswer, Refuse
from berth_sandbox.azure.server import Endpoint

STARTED = 60
# On a connection that was used before, aiohttp repeats what it may, once.
TWICE = 2
OTHER_TENANT = "0a1e5c3f-0000-4000-8000-00000000000b"


async def put(groups: ContainerGroups, name: str = "iris", **properties: object) -> None:
    await groups.put(RESOURCE_GROUP, name, body(**properties))


async def terminal(groups: ContainerGroups, name: str = "iris", **properties: object) -> Terminal:
    with pytest.raises(Terminal) as caught:
        await put(groups, name, **properties)
    return caught.value


async def test_a_throttled_call_comes_back_when_azure_says(azure: Azure, groups: ContainerGroups) -> None:
    azure.faults.add(Refuse(429, "TooManyRequests", "Wait.", retry_after=17), "PUT")

    with pytest.raises(Transient) as caught:
        await put(groups)

    assert (caught.value.message, caught.value.retry_after) == ("TooManyRequests: Wait", 17)
    assert azure.service.group_ids() == []


async def test_until_then_no_other_write_is_made_but_reads_are(
    azure: Azure, groups: ContainerGroups, heard: Heard, watch: Watch
) -> None:
    azure.faults.add(Refuse(429, "TooManyRequests", retry_after=17), "PUT")
    with pytest.raises(Transient):
        await put(groups)
    watch.now += 7

    with pytest.raises(Postponed) as caught:
        await put(groups, "other")
    await groups.list_by_resource_group(RESOURCE_GROUP)

    assert caught.value.retry_after == pytest.approx(10)
    assert asked(azure)["ContainerGroups_CreateOrUpdate"] == 1
    assert heard.causes == {"rate": 1}
    watch.now += 10
    await put(groups, "other")


@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_an_ill_service_is_asked_once_for_each_call(
    azure: Azure, groups: ContainerGroups, status: int
) -> None:
    azure.faults.add(Refuse(status, "InternalServerError", "Oops."))

    with pytest.raises(Transient) as caught:
        await groups.get(RESOURCE_GROUP, "iris")

    assert caught.value.message
    assert sum(asked(azure).values()) == 1


async def test_a_gateways_page_is_no_refusal(azure: Azure, groups: ContainerGroups) -> None:
    await put(groups)
    azure.faults.add(Refuse(502, retry_after=9), "GET", "containerGroups")

    with pytest.raises(Transient) as caught:
        await groups.get(RESOURCE_GROUP, "iris")

    assert (caught.value.message, caught.value.retry_after) == ("Azure answered 502", 9)


async def test_a_page_of_a_portal_is_no_group(azure: Azure, groups: ContainerGroups) -> None:
    await groups.list_by_resource_group(RESOURCE_GROUP)
    for call in (groups.get(RESOURCE_GROUP, "iris"), groups.list_by_resource_group(RESOURCE_GROUP)):
        azure.faults.add(Refuse(200), "GET", "containerGroups")
        with pytest.raises(Transient, match="Azure answered 200"):
            await call


async def test_a_cut_connection_leaves_nothing_behind(
    azure: Azure, groups: ContainerGroups, heard: Heard
) -> None:
    await groups.list_by_resource_group(RESOURCE_GROUP)
    azure.faults.add(CutConnection(), "PUT", times=TWICE)

    with pytest.raises(Transient) as caught:
        await put(groups)

    assert caught.value.message == "Azure did not answer: ServerDisconnectedError"
    assert heard.calls[-1] == (SUBSCRIPTION, "put", "<error>")
    assert azure.service.group_ids() == []
    await put(groups)


async def test_a_group_whose_answer_was_lost_is_there(azure: Azure, groups: ContainerGroups) -> None:
    azure.faults.add(LoseAnswer(), "PUT", times=TWICE)

    with pytest.raises(Transient):
        await put(groups)

    assert (await groups.get(RESOURCE_GROUP, "iris")).body["name"] == "iris"


async def test_a_put_that_aiohttp_repeats_waits_for_itself(azure: Azure, groups: ContainerGroups) -> None:
    azure.faults.add(LoseAnswer(), "PUT")

    with pytest.raises(Transient) as caught:
        await put(groups)

    assert caught.value.message.startswith("ContainerGroupTransitioning: ")
    assert caught.value.retry_after == 10
    assert [put.status for put in azure.requests.of("ContainerGroups_CreateOrUpdate")] == [None, 409]


async def test_a_deletion_whose_answer_was_lost_is_done(azure: Azure, groups: ContainerGroups) -> None:
    await put(groups)
    azure.faults.add(LoseAnswer(), "DELETE", times=TWICE)

    with pytest.raises(Transient):
        await groups.delete(RESOURCE_GROUP, "iris")

    with pytest.raises(Gone):
        await groups.get(RESOURCE_GROUP, "iris")


async def test_a_page_that_fails_fails_the_list(azure: Azure, groups: ContainerGroups) -> None:
    azure.manager._operations._page_size = 1
    for name in ("iris", "other"):
        await put(groups, name)
    azure.faults.add(Delay(0), "GET")
    azure.faults.add(Refuse(503, "InternalServerError"), "GET")

    with pytest.raises(Transient):
        await groups.list_by_resource_group(RESOURCE_GROUP)

    assert asked(azure)["ContainerGroups_ListByResourceGroup"] == 2


async def test_quota_capacity_transition_and_another_place_are_told_apart(
    azure: Azure, groups: ContainerGroups
) -> None:
    described: dict[str, ReconcileError] = {}
    await put(groups)
    for name, code, status in (
        ("quota", "ContainerGroupQuotaReached", 400),
        ("capacity", "ServiceUnavailable", 409),
        ("transition", "ContainerGroupTransitioning", 409),
        ("stranger", "InvalidResourceLocation", 409),
        ("immutable", "InvalidContainerGroupUpdate", 400),
    ):
        azure.faults.add(Refuse(status, code, "No."), "PUT")
        with pytest.raises(ReconcileError) as caught:
            await put(groups)
        described[name] = caught.value

    reasons = {name: error.reason for name, error in described.items() if isinstance(error, Terminal)}
    assert reasons == {
        "quota": Reason.QUOTA_EXCEEDED,
        "capacity": Reason.CAPACITY_UNAVAILABLE,
        "stranger": Reason.CONFLICT,
    }
    assert type(described["transition"]) is Transient
    assert type(described["immutable"]) is Immutable


async def test_the_services_own_refusals_are_understood(azure: Azure, groups: ContainerGroups) -> None:
    azure.service.subscriptions[SUBSCRIPTION].quotas["ContainerGroups"] = 1
    await put(groups)

    assert (await terminal(groups, "other")).reason == Reason.QUOTA_EXCEEDED
    with pytest.raises(Transient, match="ContainerGroupTransitioning"):
        await put(groups)
    azure.clock.advance(STARTED)
    with pytest.raises(Immutable, match="InvalidContainerGroupUpdate"):
        await put(groups, restartPolicy="Never")


async def test_a_resource_group_that_is_missing_is_no_missing_group(groups: ContainerGroups) -> None:
    with pytest.raises(Terminal) as caught:
        await groups.get("nowhere", "iris")
    with pytest.raises(Gone):
        await groups.get(RESOURCE_GROUP, "iris")

    assert caught.value.reason == Reason.RESOURCE_GROUP_NOT_FOUND


async def test_a_disabled_subscription_says_so_and_recovers(azure: Azure, groups: ContainerGroups) -> None:
    described = {"tenant": TENANT, "resourceGroups": [RESOURCE_GROUP], "enabled": False}
    configure(azure, {"subscriptions": {SUBSCRIPTION: described}})

    assert (await terminal(groups)).reason == Reason.READ_ONLY_DISABLED_SUBSCRIPTION
    configured(azure)
    await put(groups)


async def test_a_subscription_that_is_not_there_says_so(connection: Connection, endpoint: Endpoint) -> None:
    groups = await groups_of(connection, endpoint, "ffffffff-0000-0000-0000-000000000000")

    assert (await terminal(groups)).reason == Reason.SUBSCRIPTION_NOT_FOUND


async def test_who_may_not_is_told_what_is_missing(azure: Azure, groups: ContainerGroups) -> None:
    azure.faults.add(Refuse(403, "AuthorizationFailed", "The client may not write."), "PUT")

    refused = await terminal(groups)

    assert (refused.reason, refused.message) == (
        Reason.AUTHORIZATION_FAILED,
        "AuthorizationFailed: The client may not write",
    )
    assert asked(azure)["ContainerGroups_CreateOrUpdate"] == 1


async def test_a_token_of_another_tenant_is_no_use(
    azure: Azure, connection: Connection, endpoint: Endpoint
) -> None:
    configure(azure, {"tenants": {OTHER_TENANT: {CLIENT: {"secrets": {SECRET: None}}}}})
    described = {"tenant": OTHER_TENANT, "resourceGroups": [RESOURCE_GROUP]}
    configure(azure, {"subscriptions": {SUBSCRIPTION: described}})

    refused = await terminal(await groups_of(connection, endpoint))

    assert refused.reason == Reason.AUTHENTICATION_FAILED
    assert asked(azure) == {"Token": 1, "ContainerGroups_CreateOrUpdate": 1}


async def test_a_provider_that_is_not_registered_is_not_registered_in_passing(
    azure: Azure, groups: ContainerGroups
) -> None:
    azure.faults.add(Refuse(409, "MissingSubscriptionRegistration", "Register it first."), "PUT")

    assert (await terminal(groups)).reason == Reason.REJECTED
    assert asked(azure)["ContainerGroups_CreateOrUpdate"] == 1
    assert asked(azure)[""] == 0


async def test_nobody_listens(connection: Connection, endpoint: Endpoint) -> None:
    gone = cloud_at(endpoint).model_copy(update={"resource_manager": "https://127.0.0.1:1"})
    groups = await groups_of(connection, endpoint, cloud=gone)

    with pytest.raises(Transient) as caught:
        await put(groups)

    assert caught.value.message == "Azure cannot be reached at 127.0.0.1:1: Connection refused"


async def test_a_server_of_a_strange_authority_gets_no_token(
    azure: Azure, connection: Connection, endpoint: Endpoint
) -> None:
    trusting = cloud_at(endpoint)
    strange = Cloud(
        name=CloudName.CUSTOM, resource_manager=trusting.resource_manager, authority=trusting.authority
    )
    groups = await groups_of(connection, endpoint, cloud=strange)

    with pytest.raises(Transient, match="unable to get local issuer certificate"):
        await put(groups)

    assert len(azure.requests) == 0
