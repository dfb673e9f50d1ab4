"""One subscription's trouble: how much it is asked, and that the others do not feel it."""

import asyncio
import time

import pytest
from azure_clients import Heard, Watch, asked, body, groups_of
from azure_emulator import RESOURCE_GROUP, SUBSCRIPTION

from berth.azure.connection import Connection
from berth.azure.container_groups import ContainerGroups
from berth.core.errors import Postponed, Transient
from berth_sandbox.azure.cloud import Azure
from berth_sandbox.azure.faults import Delay, Refuse
from berth_sandbox.azure.server import Endpoint

DOWN = Refuse(503, "InternalServerError", "Oops.")
THIS = f"/subscriptions/{SUBSCRIPTION}/"
IN_A_ROW = 5


async def listed(groups: ContainerGroups, resource_group: str = RESOURCE_GROUP) -> None:
    await groups.list_by_resource_group(resource_group)


async def failed(groups: ContainerGroups) -> Transient:
    with pytest.raises(Transient) as caught:
        await listed(groups)
    return caught.value


async def postponed(groups: ContainerGroups) -> Postponed:
    with pytest.raises(Postponed) as caught:
        await listed(groups)
    return caught.value


async def test_a_subscription_that_is_down_is_left_alone(
    azure: Azure, groups: ContainerGroups, heard: Heard
) -> None:
    azure.faults.add(DOWN, path=THIS, times=None)

    for _ in range(100):
        error = await failed(groups)

    assert asked(azure)["ContainerGroups_ListByResourceGroup"] == IN_A_ROW
    assert error.message.endswith("is not asked now: InternalServerError: Oops")
    assert error.retry_after == 15
    assert heard.causes == {"circuit": 100 - IN_A_ROW}


async def test_it_is_tried_now_and_then_and_used_as_soon_as_it_answers(
    azure: Azure, groups: ContainerGroups, watch: Watch
) -> None:
    azure.faults.add(DOWN, path=THIS, times=IN_A_ROW + 1)
    for _ in range(IN_A_ROW):
        await failed(groups)
    for wait in (15, 30):
        watch.now += wait - 1
        assert (await failed(groups)).message.startswith("Subscription")
        watch.now += 1
        if wait == 15:
            assert (await failed(groups)).message == "InternalServerError: Oops"

    for _ in range(3):
        await listed(groups)


async def test_another_subscription_goes_on(
    azure: Azure, connection: Connection, endpoint: Endpoint, groups: ContainerGroups
) -> None:
    other = await groups_of(connection, endpoint, "subid")
    azure.faults.add(DOWN, path=THIS, times=None)
    for _ in range(IN_A_ROW + 1):
        await failed(groups)

    for _ in range(10):
        await listed(other, "demo")


async def test_another_subscription_goes_on_while_one_hangs(
    azure: Azure, connection: Connection, endpoint: Endpoint, groups: ContainerGroups, heard: Heard
) -> None:
    other = await groups_of(connection, endpoint, "subid")
    await listed(other, "demo")
    azure.faults.add(Delay(1), path=THIS, times=None)

    hanging = asyncio.gather(*(listed(groups) for _ in range(30)), return_exceptions=True)
    await asyncio.sleep(0)
    began = time.monotonic()
    for _ in range(10):
        await listed(other, "demo")
    taken = time.monotonic() - began
    results = await hanging

    assert taken < 0.8
    assert sum(result is None for result in results) == 4
    assert sum(isinstance(result, Postponed) for result in results) == 26
    assert heard.causes == {"concurrency": 26}


async def test_a_throttled_subscription_does_not_slow_another(
    azure: Azure, connection: Connection, endpoint: Endpoint, groups: ContainerGroups
) -> None:
    other = await groups_of(connection, endpoint, "subid")
    azure.faults.add(Refuse(429, "TooManyRequests", retry_after=30), path=THIS)
    await failed(groups)

    await listed(other, "demo")

    assert (await postponed(groups)).retry_after == 30


async def test_two_compute_targets_of_one_subscription_share_its_limits(
    azure: Azure, connection: Connection, endpoint: Endpoint
) -> None:
    one, other = [await groups_of(connection, endpoint, name) for name in ("subid", "SubID")]
    azure.faults.add(Refuse(429, "TooManyRequests", retry_after=30), "GET")

    assert (await failed(one)).retry_after == 30
    assert (await postponed(other)).retry_after == 30
    assert asked(azure)["ContainerGroups_ListByResourceGroup"] == 1


async def test_a_burst_stays_within_the_share_of_what_azure_takes(
    azure: Azure, groups: ContainerGroups, heard: Heard, watch: Watch
) -> None:
    for number in range(100):
        await groups.delete(RESOURCE_GROUP, f"iris-{number}")
    for number in range(100, 105):
        with pytest.raises(Postponed) as caught:
            await groups.delete(RESOURCE_GROUP, f"iris-{number}")
        watch.now += caught.value.retry_after
        await groups.delete(RESOURCE_GROUP, f"iris-{number}")

    assert watch.now == pytest.approx(1001)
    assert heard.causes == {"rate": 5}
    assert asked(azure)["ContainerGroups_Delete"] == 105
    assert all(exchange.status != 429 for exchange in azure.requests)


async def test_each_call_is_heard_of_once(groups: ContainerGroups, heard: Heard) -> None:
    await groups.put(RESOURCE_GROUP, "iris", body())
    await groups.get(RESOURCE_GROUP, "iris")
    await groups.delete(RESOURCE_GROUP, "iris")
    with pytest.raises(Exception, match="not found"):
        await groups.get(RESOURCE_GROUP, "iris")

    calls = [(operation, code) for _, operation, code in heard.calls]
    assert calls == [("put", "201"), ("get", "200"), ("delete", "200"), ("get", "404")]
