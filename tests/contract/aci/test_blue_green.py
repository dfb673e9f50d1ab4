"""A change that another container group takes over: callers always find one that answers."""

import asyncio
from typing import Any

import pytest
from aci_world import PLACE, SPEC, World, place_spec
from azure_emulator import group_id
from azure_world import IRIS, Killed

from berth.core.errors import ReconcileError
from berth.core.keys import Key
from berth.plan.group_names import tags_of
from berth.plan.group_slots import RETIRES, TURN
from berth.plan.group_status import is_serving
from berth.plan.group_succession import FAREWELL_SECONDS
from berth.plan.report import REQUESTED_AT
from berth.plan.resources import COMPUTE_TARGETS, CONFIG_MAPS, MODEL_DEPLOYMENTS
from berth_sandbox.azure.faults import CutConnection, LoseAnswer, SlowDelete
from berth_sandbox.azure.simulation import Behaviour, Simulation

BLUE_GREEN = {"updateStrategy": "BlueGreen"}
OWN = "registry.test/own:1"
UNTIL_SWITCHED = 20
"""Passes of ten seconds in which a group is made, takes over, and the other one has gone."""


def wanted(**fields: Any) -> dict[str, Any]:
    aci = BLUE_GREEN | fields.pop("aci", {})
    return SPEC | {"aci": aci} | fields


def changed(value: str = "b", **fields: Any) -> dict[str, Any]:
    return wanted(env=[{"name": "A", "value": value}], **fields)


def of_own_image(**fields: Any) -> dict[str, Any]:
    return wanted(image=OWN, imageServer="Berth", auth={"mode": "None"}, **fields)


class Callers:
    """Look at the address in the status, and count the groups, whenever the operator has done something."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.most_groups = 0

    async def settle(self, passes: int = UNTIL_SWITCHED) -> None:
        for _ in range(passes):
            await self._world.attempt()
            await asyncio.sleep(0)  # for golden requests
            await self.look()
            self._world.pass_time(10)
            await self.look()

    async def look(self) -> None:
        self.most_groups = max(self.most_groups, len(self._world.groups))
        group = await shown(self._world, told(self._world))
        assert is_serving(group), group
        assert self.most_groups <= 2


def status(world: World) -> dict[str, Any]:
    there = world.get()
    assert there is not None
    found: dict[str, Any] = there["status"]
    return found


def told(world: World) -> str:
    """The group that the status names."""
    name: str = status(world)["aci"]["resourceId"].rpartition("/")[2]
    assert status(world)["scoringUri"] == f"http://{status(world)['aci']['fqdn']}/score"
    return name


async def shown(world: World, name: str) -> dict[str, Any]:
    return await world.azure.service.get(group_id(name))


@pytest.fixture
async def callers(world: World) -> Callers:
    """Callers of a group that serves, made by a spec that asks for BlueGreen."""
    world.apply(wanted())
    await world.settle(5)
    assert world.is_ready
    return Callers(world)


async def test_a_change_is_served_by_another_group_and_the_first_one_goes(
    world: World, callers: Callers
) -> None:
    (first,) = world.groups
    before = status(world)["scoringUri"]
    world.azure.requests.clear()

    world.apply(changed())
    await callers.settle()

    (second,) = world.groups
    assert world.is_ready
    assert second != first
    assert told(world) == second
    assert status(world)["scoringUri"] != before
    assert callers.most_groups == 2
    assert world.writes == ["CreateOrUpdate", "Update", "Delete"]
    assert [event.reason for event in world.events][-3:] == ["SuccessorStarted", "SuccessorServes", "Ready"]


async def test_meanwhile_ready_is_false_and_the_address_is_the_first_ones(
    world: World, callers: Callers
) -> None:
    (first,) = world.groups
    world.apply(changed())
    await callers.settle(2)

    assert world.condition("Ready")["status"] == "False"
    assert world.condition("Ready")["observedGeneration"] == 2
    assert world.condition("Reconciling")["message"].startswith(
        f"Container group {first} serves until another takes over: "
    )
    assert world.condition("EndpointReady")["status"] == "True"
    assert world.condition("SuccessorReady")["reason"] == "RollingOut"
    assert told(world) == first
    assert (status(world)["replicas"], status(world)["readyReplicas"]) == (2, 1)

    await callers.settle()
    assert world.condition("SuccessorReady") == {}
    assert (status(world)["replicas"], status(world)["readyReplicas"]) == (1, 1)


async def test_who_was_replaced_answers_until_callers_know(world: World, callers: Callers) -> None:
    (first,) = world.groups
    world.apply(changed())
    while first == told(world):
        await callers.settle(1)
    switched = world.clock.seconds
    while first in world.groups:
        await callers.settle(1)
    assert world.clock.seconds - switched >= FAREWELL_SECONDS


async def test_one_change_after_another_ends_in_one_group(world: World, callers: Callers) -> None:
    for value in "bcd":
        world.apply(changed(value))
        await callers.settle(4)
    world.apply(wanted(resources={"requests": {"cpu": 2, "memory": "4G"}}))
    await callers.settle(30)
    assert world.is_ready
    assert len(world.groups) == 1
    group = await shown(world, told(world))
    assert group["properties"]["containers"][0]["properties"]["resources"]["requests"]["cpu"] == 2


@pytest.mark.parametrize("passes", range(1, 8))
async def test_a_spec_that_is_taken_back_leaves_the_first_group_as_it_is(
    world: World, callers: Callers, passes: int
) -> None:
    (first,) = world.groups
    created = (await shown(world, first))["properties"]["containers"][0]["properties"]["instanceView"]
    world.apply(changed())
    await callers.settle(passes)
    was_switched = told(world) != first

    world.apply(wanted())
    await callers.settle()

    assert world.is_ready
    (left,) = world.groups
    if not was_switched:
        seen = (await shown(world, first))["properties"]["containers"][0]["properties"]["instanceView"]
        assert left == first
        assert seen == created


async def test_a_deletion_that_takes_its_time_does_not_bring_a_group_back(
    world: World, callers: Callers
) -> None:
    world.apply(changed())
    await callers.settle(2)
    world.azure.faults.add(SlowDelete(200), "DELETE")
    world.apply(wanted())
    await callers.settle(2)

    world.apply(changed())
    await callers.settle(40)

    assert world.is_ready
    assert len(world.groups) == 1


async def test_a_changed_config_map_goes_the_same_way(world: World, callers: Callers) -> None:
    (first,) = world.groups
    world.put_data(CONFIG_MAPS, Key("demo", "iris"), {"model.onnx": "another model"})
    world.pass_time(60)
    await callers.settle()
    assert world.is_ready
    assert first not in world.groups
    assert len(world.groups) == 1


async def test_a_golden_request_that_passed_once_is_asked_of_the_next_group_too(world: World) -> None:
    golden = {"validation": {"request": {"body": "{}"}, "expect": {"body": "[0]"}}}
    world.apply(wanted(**golden))
    callers = Callers(world)
    for _ in range(8):
        await asyncio.sleep(0)
        await world.settle(1)
    assert world.is_ready
    asked = [url for url in world.asked if url.endswith("/score")]

    world.put_data(CONFIG_MAPS, Key("demo", "iris"), {"model.onnx": "another model"})
    world.pass_time(60)
    await callers.settle()

    assert world.is_ready
    later = [url for url in world.asked if url.endswith("/score")][len(asked) :]
    assert len(later) == 1
    assert later != asked


async def test_a_wrong_answer_to_the_golden_request_changes_nothing_for_callers(
    world: World, callers: Callers
) -> None:
    (first,) = world.groups
    world.apply(changed(validation={"request": {"body": "{}"}, "expect": {"body": "[1]"}}))
    await callers.settle()
    assert world.condition("Stalled")["reason"] == "ValidationFailed"
    assert "got [0] instead of [1]" in world.condition("Stalled")["message"]
    assert world.groups == [first]


class TestASuccessorThatFails:
    @pytest.fixture
    async def failed(self, world: World, callers: Callers, simulation: Simulation) -> str:
        (first,) = world.groups
        log = ("ModelDigestMismatch: model iris:3 is another one",)
        simulation.behaviours[OWN] = Behaviour(run_seconds=2, exit_code=1, log=log)
        world.apply(of_own_image())
        await callers.settle(6)
        return first

    async def test_is_deleted_and_told_while_the_first_serves_on(
        self, world: World, callers: Callers, failed: str
    ) -> None:
        assert world.condition("Stalled")["reason"] == "ModelDigestMismatch"
        message = f"Container group {failed} serves on: model iris:3 is another one"
        assert world.condition("Stalled")["message"] == message
        assert world.condition("EndpointReady")["status"] == "True"
        assert world.groups == [failed]

    async def test_is_not_made_again(self, world: World, callers: Callers, failed: str) -> None:
        world.azure.requests.clear()
        before = len(world.cluster.writes)
        await callers.settle()
        world.restart()
        await callers.settle()
        assert world.writes == []
        assert len(world.cluster.writes) == before

    async def test_is_made_again_when_that_is_asked_for(
        self, world: World, callers: Callers, failed: str, simulation: Simulation
    ) -> None:
        simulation.behaviours.clear()
        stored = world.cluster.objects[MODEL_DEPLOYMENTS, IRIS]
        before = stored.raw
        stored.metadata["annotations"] = {REQUESTED_AT: "now"}
        world.cluster._touch(stored, before)
        await callers.settle()
        assert world.is_ready
        assert failed not in world.groups

    async def test_is_replaced_by_the_next_spec(self, world: World, callers: Callers, failed: str) -> None:
        world.apply(changed())
        await callers.settle()
        assert world.is_ready
        assert failed not in world.groups

    async def test_is_tried_again_after_it_was_taken_back(
        self, world: World, callers: Callers, failed: str, simulation: Simulation
    ) -> None:
        world.apply(wanted())
        await callers.settle(3)
        assert world.is_ready
        simulation.behaviours.clear()
        world.apply(of_own_image())
        await callers.settle()
        assert world.is_ready
        assert failed not in world.groups

    async def test_is_told_after_azure_did_not_answer_for_a_while(
        self, world: World, callers: Callers, failed: str
    ) -> None:
        world.azure.faults.add(CutConnection(), times=4)
        await callers.settle(4)
        assert "model iris:3 is another one" in world.condition("Stalled")["message"]

    async def test_gives_way_where_the_group_is_changed_in_place(
        self, world: World, callers: Callers, failed: str, simulation: Simulation
    ) -> None:
        simulation.behaviours.clear()
        world.apply(of_own_image(aci={"updateStrategy": "InPlace"}))
        await world.settle(8)
        assert world.is_ready
        assert world.groups == [failed]


async def test_who_never_gets_ready_is_given_up_after_the_deadline(
    world: World, callers: Callers, simulation: Simulation
) -> None:
    (first,) = world.groups
    simulation.behaviours[OWN] = Behaviour(pull_error="manifest unknown")
    world.apply(of_own_image())
    await callers.settle(10)
    assert world.condition("Reconciling")["reason"] == "ImagePullFailed"
    assert len(world.groups) == 2

    world.pass_time(1800)
    await callers.settle(4)

    assert world.condition("Stalled")["reason"] == "ImagePullFailed"
    assert "manifest unknown" in world.condition("Stalled")["message"]
    assert world.groups == [first]


async def test_without_room_for_a_second_group_the_first_serves_and_says_so(
    world: World, callers: Callers
) -> None:
    spec = place_spec(world.endpoint)
    limited = spec["aci"] | {"quota": {"containerGroups": 1}}
    world.put(COMPUTE_TARGETS, PLACE, {"spec": spec | {"aci": limited}})
    world.apply(changed())
    await callers.settle(8)
    assert world.condition("QuotaAvailable")["status"] == "False"
    assert world.condition("Stalled")["reason"] == "QuotaExceeded"
    assert callers.most_groups == 1

    world.put(COMPUTE_TARGETS, PLACE, {"spec": spec})
    await callers.settle()
    assert world.is_ready
    assert world.condition("QuotaAvailable")["status"] == "True"


@pytest.mark.parametrize("passes", range(7))
async def test_deletion_removes_both(world: World, callers: Callers, passes: int) -> None:
    world.apply(changed())
    await callers.settle(passes)
    world.delete()
    await world.settle(4)
    assert world.get() is None
    assert world.groups == []


@pytest.mark.parametrize("passes", range(1, 8))
async def test_another_strategy_ends_in_one_group(world: World, callers: Callers, passes: int) -> None:
    world.apply(changed())
    await callers.settle(passes)
    for strategy in ("InPlace", "BlueGreen", "InPlace"):
        world.apply(changed(aci={"updateStrategy": strategy}))
        await world.settle(1)
    await world.settle(UNTIL_SWITCHED)
    assert world.is_ready
    assert len(world.groups) == 1
    world.apply(changed("c", aci={"updateStrategy": "InPlace"}))
    before = world.groups
    await world.settle(8)
    assert world.is_ready
    assert world.groups == before


async def test_a_group_that_does_not_run_is_changed_in_place(world: World, callers: Callers) -> None:
    (first,) = world.groups
    await world.azure.service.stop(group_id(first))
    world.apply(changed())
    await world.settle(8)
    assert world.is_ready
    assert world.groups == [first]


async def change_in_the_portal(world: World) -> None:
    """Change a group, and wait until it serves again."""
    (name,) = world.groups
    there = await shown(world, name)
    there["properties"]["containers"][0]["properties"]["image"] = "other:1"
    body = {key: there[key] for key in ("location", "tags", "properties")}
    await world.azure.service.create_or_update(group_id(name), body)
    world.pass_time(60)


async def test_a_change_in_the_portal_is_undone_by_another_group(world: World, callers: Callers) -> None:
    (first,) = world.groups
    await change_in_the_portal(world)

    await callers.settle()

    assert world.is_ready
    assert first not in world.groups
    assert [event.reason for event in world.events].count("DriftCorrected") == 1


async def test_who_changes_each_group_is_answered_once_in_a_while(world: World, callers: Callers) -> None:
    for _ in range(2):
        await change_in_the_portal(world)
        await callers.settle(15)
    assert [event.reason for event in world.events].count("DriftCorrected") == 1
    assert world.is_ready


async def test_the_public_name_that_the_user_gave_alternates(world: World) -> None:
    callers = Callers(world)
    world.apply(wanted(aci={"dnsNameLabel": "iris-live"}))
    await world.settle(5)
    names = []
    for value in "bcd":
        names.append(status(world)["aci"]["fqdn"].partition(".")[0])
        world.apply(changed(value, aci={"dnsNameLabel": "iris-live"}))
        await callers.settle()
    assert names[0] == names[2] == "iris-live"
    assert names[1].startswith("iris-live-")


async def test_the_successor_that_is_alone_becomes_the_live_one(world: World, callers: Callers) -> None:
    (first,) = world.groups
    world.apply(changed())
    await callers.settle(2)
    await world.azure.service.vanish(group_id(first))
    await world.settle(8)
    assert world.is_ready
    assert told(world) != first
    assert len(world.groups) == 1


CALLS_OF_A_SUCCESSION = 34


@pytest.mark.parametrize("last", range(1, CALLS_OF_A_SUCCESSION, 2))
async def test_an_operator_that_is_killed_after_a_call_is_made_up_for(
    world: World, callers: Callers, last: int
) -> None:
    world.apply(changed())
    world.mortal.last = world.mortal.calls + last
    with pytest.raises(Killed):
        await callers.settle(40)
    await callers.look()

    world.restart()
    await callers.settle()

    assert world.is_ready
    assert len(world.groups) == 1
    assert world.writes.count("CreateOrUpdate") == 2


@pytest.mark.parametrize("effect", [LoseAnswer(), CutConnection()], ids=["lost", "cut"])
@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_an_answer_that_is_lost_takes_no_address_from_callers(
    world: World, callers: Callers, method: str, effect: LoseAnswer | CutConnection
) -> None:
    world.azure.faults.add(effect, method, times=2)
    world.apply(changed())
    await callers.settle(40)
    assert world.is_ready
    assert len(world.groups) == 1


class Another:
    """A second operator over the same cluster and Azure."""

    def __init__(self, world: World) -> None:
        first = world.feed, world.reconciler
        world.restart()
        self._world, self._feed, self._reconciler = world, world.feed, world.reconciler
        world.feed, world.reconciler = first

    async def attempt(self) -> None:
        for raw in self._world.cluster.labelled(COMPUTE_TARGETS, {}).values():
            self._feed.changed(COMPUTE_TARGETS, raw)
        self._feed.changed(MODEL_DEPLOYMENTS, self._world.get() or {})
        try:
            await self._reconciler.reconcile(IRIS)
        except ReconcileError as error:
            await self._reconciler.report_failure(IRIS, error)


async def test_two_operators_end_in_one_group(world: World, callers: Callers) -> None:
    another = Another(world)
    for value in "bc":
        world.apply(changed(value))
        for _ in range(2 * UNTIL_SWITCHED):
            await asyncio.gather(another.attempt(), world.attempt())
            await callers.settle(1)
    assert world.is_ready
    assert len(world.groups) == 1


async def test_an_operator_that_is_behind_touches_nothing(world: World, callers: Callers) -> None:
    old = world.get()
    world.apply(changed())
    await callers.settle()
    (second,) = world.groups
    assert tags_of(await shown(world, second))[TURN] == "1"
    assert RETIRES not in tags_of(await shown(world, second))
    world.azure.requests.clear()

    world.cluster.put(MODEL_DEPLOYMENTS, old)
    world.restart()
    await world.settle(3)

    assert world.writes == []
    assert world.groups == [second]
