"""What the plan writes goes through the real SDK, and what comes back is understood; all judged by oav."""

import json
from typing import Any

import pytest
from azure.mgmt.containerinstance.aio import ContainerInstanceManagementClient as Client
from azure_emulator import REGION, RESOURCE_GROUP, SUBSCRIPTION
from container_groups import FULL, FULL_DEFAULTS, PLACE, WISHES, aci_spec, desired
from deployments import Spec, subject

from berth.api.compute_target import AciPlace, Quota
from berth.api.conditions import Reason
from berth.plan.container_group import Desired
from berth.plan.group_changes import Update, Way, update
from berth.plan.group_quota import read_room
from berth.plan.group_status import Observation, group_draft
from berth_sandbox.azure.cloud import Azure

WHERE = PLACE | {"subscriptionId": SUBSCRIPTION, "resourceGroup": RESOURCE_GROUP, "location": REGION}
STARTED = 40  # seconds after which both containers of the default behaviour have begun


def raw(response: Any, *_: Any) -> Any:
    """Give the answer as it is, rather than as the SDK's model, which knows fewer fields."""
    return json.loads(response.http_response.text())


async def put(client: Client, wanted: Desired) -> None:
    await client.container_groups.begin_create_or_update(
        RESOURCE_GROUP, wanted.name, json.dumps(wanted.body).encode(), polling=False
    )


async def get(client: Client, wanted: Desired) -> Any:
    return await client.container_groups.get(RESOURCE_GROUP, wanted.name, cls=raw)


@pytest.mark.parametrize("fields", [FULL, *(fields for fields, _ in WISHES.values())], ids=["full", *WISHES])
async def test_a_group_comes_back_as_it_was_sent(azure: Azure, client: Client, fields: Spec) -> None:
    defaults = FULL_DEFAULTS if fields is FULL else {}
    wanted = desired(fields, AciPlace.model_validate(WHERE | {"defaults": defaults}))
    await put(client, wanted)
    azure.clock.advance(STARTED)
    group = await get(client, wanted)
    assert update(wanted, group) == Update(Way.NOTHING)
    verdict = group_draft(subject(fields), Observation(group), azure.clock.now()).conditions[0]
    assert verdict.reason == Reason.READY


async def test_a_list_is_enough_to_see_what_someone_changed(azure: Azure, client: Client) -> None:
    wanted = desired(where=AciPlace.model_validate(WHERE))
    await put(client, wanted)
    azure.clock.advance(STARTED)
    other = desired(aci_spec(env=[{"name": "A", "value": "b"}]), AciPlace.model_validate(WHERE))
    changed = Desired(wanted.name, other.body | {"tags": wanted.tags})
    await put(client, changed)
    (listed,) = [group async for group in client.container_groups.list_by_resource_group(RESOURCE_GROUP)]
    found = update(wanted, listed.serialize(keep_readonly=True))
    assert found == Update(Way.IN_PLACE, ("environmentVariables",), drifted=True)


async def test_the_usages_of_a_region_are_read(client: Client) -> None:
    wanted = desired(where=AciPlace.model_validate(WHERE))
    await put(client, wanted)
    usages = [usage.serialize(keep_readonly=True) async for usage in client.location.list_usage(REGION)]
    room = read_room({"value": usages}, REGION, Quota(container_groups=20), own=1)
    assert room
    assert (room.groups.used, room.own) == (1, 1)
