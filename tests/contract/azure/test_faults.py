"""Each fault on demand, as the real SDK reports it."""

import time

import pytest
from azure.core.exceptions import (
    HttpResponseError,
    ResourceExistsError,
    ResourceNotFoundError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.mgmt.containerinstance.aio import ContainerInstanceManagementClient as Client
from azure_emulator import RESOURCE_GROUP, begin, configured, delete, get, group, group_id
from azure_judge import Record

from berth_sandbox.azure.clock import Clock
from berth_sandbox.azure.cloud import Azure
from berth_sandbox.azure.faults import (
    CutConnection,
    Delay,
    FailOperation,
    LoseAnswer,
    Refuse,
    SlowDelete,
    StickPending,
)
from berth_sandbox.azure.throttle import Limits

STARTED = 20
# On a connection that was used before, aiohttp repeats a PUT or DELETE by itself, once.
TWICE = 2


async def test_throttling_says_when_to_come_back(azure: Azure, client: Client) -> None:
    azure.faults.add(Refuse(429, "TooManyRequests", retry_after=17), "PUT")

    with pytest.raises(HttpResponseError) as caught:
        await begin(client)

    assert caught.value.status_code == 429
    assert caught.value.response.headers["Retry-After"] == "17"
    assert azure.service.group_ids() == []
    await begin(client)


@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_the_service_is_down_for_some_requests(azure: Azure, client: Client, status: int) -> None:
    azure.faults.add(Refuse(status, "InternalServerError"), times=2)

    for _ in range(2):
        with pytest.raises(HttpResponseError) as caught:
            await begin(client)
        assert caught.value.status_code == status
    await begin(client)


async def test_a_gateway_answers_with_a_page(azure: Azure, client: Client) -> None:
    await begin(client)
    azure.faults.add(Refuse(502), "GET", "containerGroups")

    with pytest.raises(HttpResponseError) as caught:
        await get(client)

    assert caught.value.status_code == 502
    assert caught.value.error is None


async def test_a_cut_connection_leaves_nothing_behind(azure: Azure, client: Client) -> None:
    azure.faults.add(CutConnection(), "PUT", times=TWICE)

    with pytest.raises((ServiceRequestError, ServiceResponseError)):
        await begin(client)

    assert azure.service.group_ids() == []
    assert azure.requests.of("ContainerGroups_CreateOrUpdate")[0].status is None


async def test_the_answer_to_a_put_is_lost_but_the_group_is_there(azure: Azure, client: Client) -> None:
    azure.faults.add(LoseAnswer(), "PUT", times=TWICE)

    with pytest.raises((ServiceRequestError, ServiceResponseError)):
        await begin(client)

    assert (await get(client)).name == "iris"


async def test_aiohttp_repeats_a_put_whose_answer_is_lost(azure: Azure, client: Client) -> None:
    azure.faults.add(LoseAnswer(), "PUT")

    with pytest.raises(ResourceExistsError) as caught:
        await begin(client)

    assert caught.value.error.code == "ContainerGroupTransitioning"
    puts = azure.requests.of("ContainerGroups_CreateOrUpdate")
    assert [put.status for put in puts] == [None, 409]
    assert puts[0].connection != puts[1].connection


async def test_the_answer_to_a_delete_is_lost_but_the_group_is_gone(azure: Azure, client: Client) -> None:
    await begin(client)
    azure.faults.add(LoseAnswer(), "DELETE", times=TWICE)

    with pytest.raises((ServiceRequestError, ServiceResponseError)):
        await delete(client)

    with pytest.raises(ResourceNotFoundError):
        await get(client)


async def test_an_answer_is_late(azure: Azure, client: Client) -> None:
    await begin(client)
    azure.faults.add(Delay(0.2), "GET")
    asked = time.monotonic()

    await get(client)

    assert time.monotonic() - asked >= 0.2


async def test_a_fault_can_be_meant_for_one_group_only(azure: Azure, client: Client) -> None:
    azure.faults.add(Refuse(500, "InternalServerError"), "PUT", "/containerGroups/iris$", times=None)

    await begin(client, "other")
    for _ in range(3):
        with pytest.raises(HttpResponseError):
            await begin(client)
    azure.faults.clear()
    await begin(client)


async def test_a_group_is_stuck_until_it_times_out(azure: Azure, client: Client) -> None:
    azure.faults.add(StickPending())
    poller = await client.container_groups.begin_create_or_update(RESOURCE_GROUP, "iris", group())
    azure.clock.advance(1700)
    stuck = await get(client)
    assert (stuck.provisioning_state, stuck.instance_view.state) == ("Pending", "Pending")

    azure.clock.advance(200)

    assert (await get(client)).provisioning_state == "Failed"
    with pytest.raises(HttpResponseError) as caught:
        await poller.result()
    assert caught.value.error.code == "ContainerGroupProvisioningTimeout"


async def test_an_operation_fails_after_it_was_accepted(azure: Azure, client: Client) -> None:
    azure.faults.add(FailOperation("InaccessibleImage", "The image is not accessible."))
    poller = await client.container_groups.begin_create_or_update(RESOURCE_GROUP, "iris", group())
    azure.clock.advance(10)

    with pytest.raises(HttpResponseError) as caught:
        await poller.result()

    assert (caught.value.status_code, caught.value.error.code) == (200, "InaccessibleImage")
    assert (await get(client)).provisioning_state == "Failed"
    azure.clock.advance(10)
    await begin(client)
    azure.clock.advance(STARTED)
    assert (await get(client)).provisioning_state == "Succeeded"


async def test_the_region_has_no_capacity_now(azure: Azure, client: Client) -> None:
    azure.faults.add(Refuse(409, "ServiceUnavailable", "The requested resource is not available."), "PUT")

    with pytest.raises(ResourceExistsError) as caught:
        await begin(client)

    assert caught.value.error.code == "ServiceUnavailable"


async def test_a_deletion_meets_a_group_in_transition(azure: Azure, client: Client) -> None:
    await begin(client)
    azure.faults.add(Refuse(409, "ContainerGroupTransitioning", "still transitioning"), "DELETE")

    with pytest.raises(ResourceExistsError) as caught:
        await delete(client)

    assert caught.value.error.code == "ContainerGroupTransitioning"
    assert (await get(client)).name == "iris"


async def test_a_slow_deletion_ends_in_the_end(azure: Azure, client: Client) -> None:
    await begin(client)
    azure.clock.advance(STARTED)
    azure.faults.add(SlowDelete(90))

    poller = await client.container_groups.begin_delete(RESOURCE_GROUP, "iris")

    assert azure.requests.of("ContainerGroups_Delete")[0].status == 202
    azure.clock.advance(60)
    assert (await get(client)).name == "iris"
    with pytest.raises(ResourceExistsError) as caught:
        await begin(client)
    assert caught.value.error.code == "ContainerGroupTransitioning"
    azure.clock.advance(60)
    await poller.result()
    with pytest.raises(ResourceNotFoundError):
        await get(client)
    await begin(client)


async def test_a_deletion_that_is_asked_for_again_is_the_same_deletion(azure: Azure, client: Client) -> None:
    await begin(client)
    azure.clock.advance(30)
    azure.faults.add(SlowDelete(90), times=None)
    for _ in range(4):
        await delete(client)
        azure.clock.advance(30)
    with pytest.raises(ResourceNotFoundError):
        await get(client)


async def test_a_group_vanishes_behind_our_back(azure: Azure, client: Client) -> None:
    await begin(client)

    await azure.service.vanish(group_id("iris"))

    with pytest.raises(ResourceNotFoundError):
        await get(client)
    assert not azure.requests.of("ContainerGroups_Delete")


async def test_a_group_is_stopped_behind_our_back(azure: Azure, client: Client) -> None:
    await begin(client)
    azure.clock.advance(STARTED)

    await azure.service.stop(group_id("iris"))

    assert (await get(client)).instance_view.state == "Stopped"


async def test_identity_without_permission(azure: Azure, client: Client) -> None:
    azure.faults.add(Refuse(403, "AuthorizationFailed", "does not have authorization"), times=None)

    with pytest.raises(HttpResponseError) as caught:
        await get(client)

    assert (caught.value.status_code, caught.value.error.code) == (403, "AuthorizationFailed")


class TestLimits:
    @pytest.fixture
    def azure(self) -> Azure:
        limits = Limits(
            buckets={"reads": (3, 0.1), "writes": (20, 1.0), "deletes": (20, 1.0)},
            windows={"pt5m": 4, "pt1h": 10},
        )
        return configured(Azure(clock=Clock(factor=0), limits=limits, requests=Record()))

    async def test_answers_tell_what_remains(self, azure: Azure, client: Client) -> None:
        await begin(client)
        await get(client)

        created, read = list(azure.requests)[-2:]

        prefix = "x-ms-ratelimit-remaining-subscription"
        assert created.response_headers[f"{prefix}-writes"] == "19"
        assert created.response_headers[f"{prefix}-resource-requests-pt5m"] == "3"
        assert created.response_headers[f"{prefix}-resource-requests-pt1h"] == "9"
        assert read.response_headers[f"{prefix}-reads"] == "2"

    async def test_too_many_reads_are_refused(self, azure: Azure, client: Client) -> None:
        await begin(client)
        for _ in range(3):
            await get(client)

        with pytest.raises(HttpResponseError) as caught:
            await get(client)

        assert caught.value.status_code == 429
        assert 1 <= int(caught.value.response.headers["Retry-After"]) <= 10

    async def test_creations_and_deletions_share_a_window(self, azure: Azure, client: Client) -> None:
        for number in range(3):
            await begin(client, f"iris-{number}")
        await delete(client, "iris-0")

        with pytest.raises(HttpResponseError) as caught:
            await begin(client, "iris-4")

        assert caught.value.status_code == 429
        assert 290 <= int(caught.value.response.headers["Retry-After"]) <= 300
