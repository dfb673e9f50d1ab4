"""Container groups whose ModelDeployment is gone: which are deleted, when, and which never."""

from collections.abc import Callable
from typing import Any

import pytest
from aci_world import GRACE_SECONDS, PLACE, SPEC, World, place_spec
from azure_clients import asked
from azure_emulator import group_id
from azure_world import IRIS, Killed

from berth.core.errors import Transient
from berth.core.keys import Key
from berth.plan.resources import COMPUTE_TARGETS, MODEL_DEPLOYMENTS
from berth_sandbox.azure.faults import Refuse

MINUTE = 60.0
GRACE_MINUTES = int(GRACE_SECONDS // MINUTE)
ABANDON = {"berth.dev/abandon": "true"}


@pytest.fixture
async def served(world: World) -> World:
    """A world in which demo/iris is served and the first list has been read."""
    world.apply()
    await world.settle(5)
    await world.place_once()
    world.azure.requests.clear()
    return world


def lose(world: World, key: Key = IRIS) -> None:
    """Let a ModelDeployment vanish without a word, as by a finalizer that was removed by hand."""
    del world.cluster.objects[MODEL_DEPLOYMENTS, key]


async def minutes(world: World, count: int) -> None:
    for _ in range(count):
        world.pass_time(MINUTE)
        await world.place_once()


async def retag(world: World, change: Callable[[dict[str, str]], dict[str, str]]) -> None:
    (name,) = world.groups
    tags = (await world.azure.service.get(group_id(name)))["tags"]
    await world.azure.service.update_tags(group_id(name), {"tags": change(tags)})


async def test_an_orphan_is_deleted_after_its_grace_period_and_told(served: World) -> None:
    (name,) = served.groups
    lose(served)

    await minutes(served, GRACE_MINUTES)
    assert served.groups == [name]
    assert (served.suspected, served.swept) == (1, 0)

    await minutes(served, 3)
    assert served.groups == []
    assert served.writes == ["Delete"]
    assert (served.suspected, served.swept) == (0, 1)
    (told,) = [event for event in served.events if event.reason == "OrphanDeleted"]
    assert name in told.note
    assert "demo/iris" in told.note


async def test_to_look_for_orphans_costs_no_list_of_its_own(served: World) -> None:
    await minutes(served, 20)
    assert asked(served.azure) == {"ContainerGroups_ListByResourceGroup": 20, "Location_ListUsage": 20}
    assert served.suspected == 0


async def test_an_orphan_costs_one_get_and_one_delete(served: World) -> None:
    lose(served)
    await minutes(served, 30)
    calls = asked(served.azure)
    assert calls["ContainerGroups_Get"] == calls["ContainerGroups_Delete"] == 1


async def test_what_was_wanted_in_between_begins_anew(served: World) -> None:
    uid = served.cluster.objects[MODEL_DEPLOYMENTS, IRIS].metadata["uid"]
    for owner in ("an earlier one", uid, "an earlier one"):
        await retag(served, lambda tags, owner=owner: tags | {"berth-uid": owner})
        await minutes(served, 1)
        assert served.suspected == (owner != uid)
        await minutes(served, GRACE_MINUTES - 2)
    assert "Delete" not in served.writes
    await minutes(served, 2)
    assert "Delete" in served.writes


async def test_a_new_operator_grants_the_whole_period_again(served: World) -> None:
    lose(served)
    await minutes(served, GRACE_MINUTES)
    served.restart()
    await minutes(served, GRACE_MINUTES)
    assert served.writes == []
    await minutes(served, 1)
    assert served.writes == ["Delete"]


async def test_a_watch_that_lags_deletes_nothing_that_is_there(served: World) -> None:
    stored = served.cluster.objects[MODEL_DEPLOYMENTS, IRIS]
    lose(served)
    await minutes(served, GRACE_MINUTES)
    served.look()
    served.cluster.objects[MODEL_DEPLOYMENTS, IRIS] = stored
    served.pass_time(MINUTE)
    await served.places.reconcile(PLACE)  # without news of what has come back
    assert served.writes == []
    assert len(served.groups) == 1


async def test_an_api_server_that_does_not_answer_lets_everything_be(
    served: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def list_nothing(*_: Any, **__: Any) -> Any:
        raise Transient("the API server is away")

    lose(served)
    await minutes(served, GRACE_MINUTES)
    served.look()
    monkeypatch.setattr(served.cluster, "list", list_nothing)
    for _ in range(3):
        served.pass_time(MINUTE)
        await served.places.reconcile(PLACE)
    assert served.writes == []


@pytest.mark.parametrize(
    "change",
    [
        lambda tags: tags | {"berth-cluster": "another"},
        lambda tags: {name: value for name, value in tags.items() if name != "berth-uid"},
        lambda tags: {},
        lambda tags: tags | {"berth-namespace": "served-by-another-operator"},
        lambda tags: tags | {"berth-deletion-policy": "Retain"},
    ],
    ids=["of another cluster", "half tagged", "untagged", "of another operator", "retained"],
)
@pytest.mark.leaves_groups
async def test_what_is_not_an_orphan_of_ours_is_never_deleted(
    served: World, change: Callable[[dict[str, str]], dict[str, str]]
) -> None:
    await retag(served, change)
    served.azure.requests.clear()
    lose(served)
    await minutes(served, 3 * GRACE_MINUTES)
    assert served.suspected == 0
    assert served.writes == []


@pytest.mark.leaves_groups
async def test_tags_that_were_changed_a_moment_ago_are_heeded(served: World) -> None:
    lose(served)
    await minutes(served, GRACE_MINUTES)
    served.pass_time(MINUTE)
    place = served.compute_targets.get(PLACE)
    assert place is not None
    await served.listings.recent(await served.compute_targets.site(place))  # and only then they change
    await retag(served, lambda tags: tags | {"berth-cluster": "another"})
    served.azure.requests.clear()
    await served.place_once()
    assert served.writes == []


async def test_resource_groups_that_no_compute_target_names_are_not_looked_at(served: World) -> None:
    lose(served)
    del served.cluster.objects[COMPUTE_TARGETS, PLACE]
    await minutes(served, 2 * GRACE_MINUTES)
    assert len(served.azure.requests) == 0


async def test_two_compute_targets_for_one_resource_group_delete_once(served: World) -> None:
    second = Key("", "second")
    served.put(COMPUTE_TARGETS, second, {"spec": place_spec(served.endpoint)})
    lose(served)
    for _ in range(GRACE_MINUTES + 2):
        await minutes(served, 1)
        await served.places.reconcile(second)
    assert served.writes == ["Delete"]


@pytest.mark.leaves_groups
@pytest.mark.parametrize("annotations", [{}, ABANDON], ids=["retained", "abandoned"])
async def test_a_group_that_was_kept_is_no_orphan(served: World, annotations: dict[str, str]) -> None:
    served.apply(SPEC if annotations else SPEC | {"deletionPolicy": "Retain"}, **annotations)
    served.delete()
    await served.settle(2)
    assert served.get() is None

    served.restart()
    await minutes(served, 3 * GRACE_MINUTES)

    assert len(served.groups) == 1
    assert "Delete" not in served.writes
    assert noted(served) == []


@pytest.mark.leaves_groups
async def test_what_was_abandoned_while_azure_was_away_is_kept_too(served: World) -> None:
    away = served.azure.faults.add(Refuse(503), times=None)
    served.apply(SPEC, **ABANDON)
    served.delete()
    await served.attempt()
    assert served.get() is None
    assert len(noted(served)) == 1

    served.restart()
    served.azure.faults.remove(away)
    served.pass_time(600)
    await minutes(served, 3 * GRACE_MINUTES)

    assert len(served.groups) == 1
    assert served.writes == ["Update"]
    assert noted(served) == []


@pytest.mark.leaves_groups
@pytest.mark.parametrize("last", [1, 2])
async def test_an_operator_that_is_killed_while_it_lets_go_forgets_nothing(served: World, last: int) -> None:
    served.apply(SPEC | {"deletionPolicy": "Retain"})
    served.delete()
    served.mortal.last = served.mortal.calls + last
    with pytest.raises(Killed):
        await served.settle(2)
    assert served.is_held()

    served.restart()
    await served.settle(2)
    await minutes(served, 3 * GRACE_MINUTES)

    assert served.get() is None
    assert len(served.groups) == 1
    assert served.writes == ["Update"]


async def test_a_policy_that_is_changed_back_is_heeded(served: World) -> None:
    served.apply(SPEC | {"deletionPolicy": "Retain"})
    await served.settle(2)
    served.apply(SPEC)
    await served.settle(2)
    assert served.writes == ["Update", "Update"]
    lose(served)
    await minutes(served, GRACE_MINUTES + 2)
    assert served.groups == []


async def test_an_orphan_that_azure_does_not_let_go_is_asked_for_once_in_a_grace_period(
    served: World,
) -> None:
    served.azure.faults.add(Refuse(403, "AuthorizationFailed", "Not you."), "DELETE", times=None)
    lose(served)
    await minutes(served, 3 * GRACE_MINUTES + 5)
    assert asked(served.azure)["ContainerGroups_Delete"] == 3
    assert (served.suspected, served.swept) == (1, 0)
    assert served.condition("Ready", COMPUTE_TARGETS, PLACE)["status"] == "True"


def noted(world: World) -> list[str]:
    """The uids that the ComputeTarget holds as abandoned."""
    there = world.get(COMPUTE_TARGETS, PLACE)
    assert there is not None
    return [name for name in there["metadata"].get("annotations", {}) if name.startswith("abandoned.")]
