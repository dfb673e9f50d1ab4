"""What a ComputeTarget says of Azure, and when it may go."""

from typing import Any

import pytest
from aci_world import PLACE, World, place_spec
from azure_clients import asked
from azure_world import IRIS

from berth.core.errors import Gone, Terminal
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


async def test_what_goes_already_gets_no_finalizer(world: World) -> None:
    world.apply()
    world.cluster.objects[COMPUTE_TARGETS, PLACE].metadata["finalizers"] = ["example.org/other"]
    world.delete(COMPUTE_TARGETS, PLACE)

    await world.place_once()

    assert "finalizers ComputeTarget" not in world.cluster.writes
    assert world.condition("InUse", COMPUTE_TARGETS, PLACE)["status"] == "True"


async def test_one_that_this_version_cannot_read_says_so(world: World) -> None:
    await world.place_once()
    spec = place_spec(world.endpoint)
    world.put(COMPUTE_TARGETS, PLACE, {"spec": spec | {"kind": "Later"}})

    for _ in range(2):
        with pytest.raises(Terminal) as failed:
            await world.place_once()
        await world.places.report_failure(PLACE, failed.value)

    assert world.condition("Stalled", COMPUTE_TARGETS, PLACE)["reason"] == "Unreadable"
    assert "spec.kind" in world.condition("Ready", COMPUTE_TARGETS, PLACE)["message"]
    assert world.cluster.writes.count("status ComputeTarget") == 2


async def test_a_defect_is_told_without_its_words(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: Any) -> None:
        raise KeyError("secret")

    monkeypatch.setattr(world.listings, "recent", broken)
    with pytest.raises(KeyError) as failed:
        await world.place_once()
    await world.places.report_failure(PLACE, failed.value)

    told = world.condition("Reconciling", COMPUTE_TARGETS, PLACE)
    assert told["reason"] == "InternalError"
    assert "secret" not in told["message"]
