"""What a ComputeTarget says of Azure, and when it may go."""

import pytest
from aci_world import IRIS, PLACE, World
from azure_clients import asked

from berth.core.errors import Gone
from berth.plan.observed import FINALIZER
from berth.plan.resources import COMPUTE_TARGETS
from berth_sandbox.azure.faults import Refuse


async def test_it_says_what_is_used_and_free(world: World) -> None:
    world.apply()
    await world.settle(5)

    world.pass_time(60)
    await world.place_once()

    there = world.get(COMPUTE_TARGETS, PLACE)
    assert there is not None
    assert there["status"]["aci"]["containerGroups"] == {"own": 1, "used": 1, "limit": 100}
    assert world.condition("Ready", COMPUTE_TARGETS, PLACE)["status"] == "True"


async def test_looking_again_finds_no_news_and_writes_none(world: World) -> None:
    await world.place_once()
    before = list(world.cluster.writes)
    world.azure.requests.clear()

    world.pass_time(60)
    await world.place_once()

    assert world.cluster.writes == before
    assert asked(world.azure) == {"ContainerGroups_ListByResourceGroup": 1, "Location_ListUsage": 1}


async def test_what_azure_refuses_is_told(world: World) -> None:
    world.azure.faults.add(
        Refuse(403, "AuthorizationFailed", "Not you."), times=None, path="/resourceGroups/"
    )
    await world.place_once()
    assert world.condition("Stalled", COMPUTE_TARGETS, PLACE)["reason"] == "AuthorizationFailed"
    assert world.condition("CredentialsAccepted", COMPUTE_TARGETS, PLACE)["status"] == "False"


async def test_it_stays_while_someone_uses_it_and_names_who(world: World) -> None:
    world.apply()
    await world.settle(5)
    await world.place_once()

    world.delete(COMPUTE_TARGETS, PLACE)
    await world.place_once()
    assert str(IRIS) in world.condition("InUse", COMPUTE_TARGETS, PLACE)["message"]

    world.delete()
    await world.settle(3)
    await world.place_once()
    assert world.get(COMPUTE_TARGETS, PLACE) is None


async def test_it_goes_at_once_where_nobody_uses_it(world: World) -> None:
    await world.place_once()
    there = world.get(COMPUTE_TARGETS, PLACE)
    assert there is not None
    assert FINALIZER not in there["metadata"].get("finalizers", ())
    world.delete(COMPUTE_TARGETS, PLACE)
    with pytest.raises(Gone):
        await world.cluster.get(COMPUTE_TARGETS, PLACE)
