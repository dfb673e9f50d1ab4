"""What goes wrong between the operator and Azure, and behind both."""

from unittest.mock import AsyncMock

import pytest
from aci_world import PLACE, SPEC, World, place_spec
from azure_clients import asked
from azure_emulator import SECRET, group_id
from azure_world import IRIS, Killed

from berth.core.errors import Terminal
from berth.core.keys import Key
from berth.plan.resources import COMPUTE_TARGETS, MODEL_DEPLOYMENTS, NAMESPACES, SECRETS
from berth_sandbox.azure.faults import CutConnection, LoseAnswer, Refuse
from berth_sandbox.azure.simulation import Behaviour, Simulation

UNTIL_READY = 6
"""Calls to Ready: the list, the usages, the PUT, and GETs."""
UNTIL_GONE = 3
"""Calls to the end: a list, the DELETE, and another list; the last GET is refused."""
CREDENTIALS = Key("berth-system", "azure")


async def until_killed(world: World, passes: int = 12) -> None:
    with pytest.raises(Killed):
        await world.settle(passes)


@pytest.mark.parametrize("last", range(1, UNTIL_READY + 1))
async def test_an_operator_that_is_killed_after_a_call_leaves_exactly_one_group(
    world: World, last: int
) -> None:
    world.apply()
    world.mortal.last = last
    await until_killed(world)

    world.restart()
    await world.settle()

    assert world.is_ready
    assert len(world.groups) == 1
    assert world.writes == ["CreateOrUpdate"]


@pytest.mark.parametrize("last", range(1, 5))
async def test_an_operator_that_is_killed_while_it_makes_a_group_anew_leaves_exactly_one(
    world: World, last: int
) -> None:
    world.apply()
    await world.settle(5)
    world.apply(SPEC | {"resources": {"requests": {"cpu": 2, "memory": "4G"}}})
    world.mortal.last = world.mortal.calls + last
    await until_killed(world)

    world.restart()
    await world.settle()

    assert world.is_ready
    assert len(world.groups) == 1


@pytest.mark.parametrize("last", range(1, UNTIL_GONE + 1))
async def test_an_operator_that_is_killed_while_it_deletes_leaves_nothing(world: World, last: int) -> None:
    world.apply()
    await world.settle(5)
    world.delete()
    world.mortal.last = world.mortal.calls + last
    await until_killed(world)

    world.restart()
    await world.settle(4)

    assert world.get() is None
    assert world.groups == []


@pytest.mark.parametrize("effect", [LoseAnswer(), CutConnection()], ids=["lost", "cut"])
@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_an_answer_that_is_lost_costs_no_second_group(
    world: World, method: str, effect: LoseAnswer | CutConnection
) -> None:
    world.azure.faults.add(effect, method, times=2)
    world.apply()
    await world.settle()
    assert world.is_ready
    assert len(world.groups) == 1

    world.delete()
    await world.settle()
    assert world.get() is None
    assert world.groups == []


@pytest.mark.leaves_groups
async def test_a_group_of_another_owner_is_never_touched(world: World) -> None:
    world.apply()
    await world.settle(5)
    (name,) = world.groups
    await world.azure.service.update_tags(group_id(name), {"tags": {"owner": "another team"}})
    world.restart()
    world.azure.requests.clear()

    await world.settle(3)
    assert world.condition("Stalled")["reason"] == "Conflict"
    assert name in world.condition("Stalled")["message"]

    world.delete()
    await world.settle(3)
    assert world.get() is None
    assert world.groups == [name]
    assert world.writes == []


async def test_wrong_credentials_are_told_on_both_objects_and_recovered_from(world: World) -> None:
    world.put_data(SECRETS, CREDENTIALS, {"clientSecret": "expired"})
    world.apply()

    await world.attempt()
    await world.place_once()

    for resource, key in ((COMPUTE_TARGETS, PLACE), (None, IRIS)):
        told = world.condition("Stalled", resource, key) if resource else world.condition("Stalled")
        assert told["reason"] == "AuthenticationFailed"
        assert "AADSTS7000215" in told["message"]
    assert world.condition("CredentialsAccepted", COMPUTE_TARGETS, PLACE)["status"] == "False"
    for _ in range(5):
        await world.attempt()
    assert asked(world.azure)["Token"] == 1

    world.put_data(SECRETS, CREDENTIALS, {"clientSecret": SECRET})
    await world.settle(5)
    await world.place_once()
    assert world.is_ready
    assert world.condition("Ready", COMPUTE_TARGETS, PLACE)["status"] == "True"


@pytest.mark.parametrize(
    ("status", "code", "reason"),
    [
        (403, "AuthorizationFailed", "AuthorizationFailed"),
        (404, "ResourceGroupNotFound", "ResourceGroupNotFound"),
        (404, "SubscriptionNotFound", "SubscriptionNotFound"),
        (409, "ReadOnlyDisabledSubscription", "ReadOnlyDisabledSubscription"),
    ],
)
async def test_what_azure_refuses_is_told_in_its_words_until_it_is_mended(
    world: World, status: int, code: str, reason: str
) -> None:
    number = world.azure.faults.add(Refuse(status, code, "No, because."), "PUT|GET", times=None)
    world.apply()

    answer = await world.attempt()

    assert isinstance(answer, Terminal)
    assert answer.retry_after is not None
    assert answer.retry_after >= 60
    assert world.condition("Stalled")["reason"] == reason
    assert "No, because" in world.condition("Stalled")["message"]
    world.azure.faults.remove(number)
    await world.settle(5)
    assert world.is_ready


async def test_a_resource_group_that_is_gone_holds_up_no_deletion(world: World) -> None:
    world.apply()
    await world.settle(5)
    world.azure.faults.add(Refuse(404, "ResourceGroupNotFound", "Gone."), times=None, path="/resourceGroups/")

    world.delete()
    await world.settle(2)

    assert world.get() is None


async def test_a_subscription_that_throttles_is_let_be(world: World) -> None:
    world.azure.faults.add(
        Refuse(429, "TooManyRequests", "Slow down.", retry_after=60), times=1, path="/resourceG"
    )
    world.apply()
    await world.settle(4)
    assert asked(world.azure)["ContainerGroups_Get"] == 1
    assert world.groups == []


async def test_a_namespace_that_is_not_allowed_costs_azure_no_call(world: World) -> None:
    world.put(NAMESPACES, Key("", "demo"), {}, labels={"team": "b"})
    world.apply()

    await world.attempt()

    assert world.condition("Stalled")["reason"] == "TargetNotAvailable"
    assert "allowedNamespaces" in world.condition("Stalled")["message"]
    assert len(world.azure.requests) == 0


async def test_a_compute_target_that_is_missing_is_told(world: World) -> None:
    del world.cluster.objects[COMPUTE_TARGETS, PLACE]
    world.apply()
    await world.attempt()
    assert world.condition("Stalled")["message"] == "ComputeTarget dev does not exist"


async def test_an_operator_that_may_not_see_compute_targets_says_so(world: World) -> None:
    del world.cluster.objects[COMPUTE_TARGETS, PLACE]
    world.is_blind = True
    world.apply()
    await world.attempt()
    assert world.condition("Stalled")["reason"] == "TargetNotAvailable"
    assert "watchNamespaces" in world.condition("Stalled")["message"]
    assert "it serves target AKS, and FPGA without computeTargetRef" in world.condition("Stalled")["message"]


async def test_who_waits_for_room_is_served_first_come_first(world: World) -> None:
    world.put(COMPUTE_TARGETS, PLACE, {"spec": limited(world, 1)})
    others = [Key("demo", "second"), Key("demo", "third")]
    for hour, key in enumerate((IRIS, *others)):
        world.apply(SPEC, key)
        created = f"2026-11-01T1{hour}:00:00Z"
        world.cluster.objects[MODEL_DEPLOYMENTS, key].metadata["creationTimestamp"] = created
    await world.settle(5)
    for key in reversed(others):
        await world.settle(2, key)
        assert world.condition("QuotaAvailable", key=key)["status"] == "False"
    assert world.condition("Stalled", key=others[1])["reason"] == "QuotaExceeded"
    assert len(world.groups) == 1

    world.delete()
    await world.settle(3)
    world.pass_time(60)
    await world.settle(2, others[1])
    assert world.groups == []
    await world.settle(2, others[0])
    assert len(world.groups) == 1
    assert world.groups[0].startswith("demo-second")


def limited(world: World, groups: int) -> dict[str, object]:
    """Give a ComputeTarget's spec with a quota."""
    spec = place_spec(world.endpoint)
    return spec | {"aci": spec["aci"] | {"quota": {"containerGroups": groups}}}


async def test_a_group_that_vanishes_is_made_again_and_told(world: World) -> None:
    world.apply()
    await world.settle(5)
    (name,) = world.groups
    await world.azure.service.vanish(group_id(name))

    world.pass_time(60)
    await world.settle(5)

    assert world.is_ready
    assert world.groups == [name]
    assert "GroupMissing" in [event.reason for event in world.events]


async def test_a_group_that_is_stopped_is_started_by_the_slow_round(world: World) -> None:
    world.apply()
    await world.settle(5)
    (name,) = world.groups
    await world.azure.service.stop(group_id(name))

    world.pass_time(600)
    await world.settle(5)

    assert world.is_ready
    assert world.writes[-1] == "Start"
    assert [event.reason for event in world.events if event.reason != "Ready"].count("GroupStopped") == 1


async def test_a_crash_is_told_with_its_last_words(world: World, simulation: Simulation) -> None:
    crash = Behaviour(run_seconds=2, exit_code=1, log=("ScriptInitFailed: no module named iris",))
    simulation.behaviours["registry.test/own:1"] = crash
    world.apply(SPEC | {"image": "registry.test/own:1", "imageServer": "Berth", "auth": {"mode": "None"}})

    await world.settle(6)

    assert world.condition("Ready")["reason"] == "ScriptInitFailed"
    assert "no module named iris" in world.condition("Ready")["message"]


@pytest.mark.parametrize("fault", [Refuse(503), Refuse(429, "TooManyRequests", retry_after=30)])
async def test_what_serves_stays_ready_while_azure_cannot_be_asked(world: World, fault: Refuse) -> None:
    world.apply()
    await world.settle(5)
    ready, events = world.condition("Ready"), len(world.events)
    world.azure.faults.add(fault, times=None)

    for _ in range(30):
        world.pass_time(60)
        await world.settle(1)
        assert world.condition("Ready") == ready
    assert len(world.events) == events

    world.answers = False
    for _ in range(3):
        world.pass_time(60)
        await world.settle(1)
    assert not world.is_ready


async def test_what_runs_again_and_has_said_nothing_yet_leaves_the_last_words(
    world: World, simulation: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    crash = Behaviour(run_seconds=2, exit_code=7, log=("out of licences",))
    simulation.behaviours["registry.test/own:1"] = crash
    world.apply(SPEC | {"image": "registry.test/own:1", "imageServer": "Berth", "auth": {"mode": "None"}})
    await world.settle(6)
    told = world.condition("Ready")["message"]
    assert "out of licences" in told

    monkeypatch.setattr(simulation, "logs", AsyncMock(return_value=[]))
    messages = []
    for _ in range(12):
        await world.settle(1)
        messages.append(world.condition("Ready")["message"])
    assert {each for each in messages if "exit code" in each} == {told}


async def test_an_endpoint_that_does_not_answer_is_not_ready(world: World) -> None:
    world.answers = False
    world.apply()
    await world.settle(6)
    assert not world.is_ready
    assert world.condition("EndpointReady")["status"] == "False"


async def change_in_the_portal(world: World) -> None:
    (name,) = world.groups
    shown = await world.azure.service.get(group_id(name))
    shown["properties"]["containers"][0]["properties"]["image"] = "other:1"
    body = {key: shown[key] for key in ("location", "tags", "properties")}
    await world.azure.service.create_or_update(group_id(name), body)


async def test_a_change_in_the_portal_is_undone_and_told(world: World) -> None:
    world.apply()
    await world.settle(5)
    await change_in_the_portal(world)

    world.pass_time(60)
    await world.settle(5)

    assert world.is_ready
    assert world.writes == ["CreateOrUpdate"] * 2
    (told,) = [event.note for event in world.events if event.reason == "DriftCorrected"]
    assert told.endswith("was changed by someone else: image")


async def test_who_changes_it_again_and_again_does_not_make_it_restart_as_often(world: World) -> None:
    world.apply()
    await world.settle(5)
    for _ in range(4):
        await change_in_the_portal(world)
        world.pass_time(60)
        await world.settle(5)
    assert world.writes == ["CreateOrUpdate"] * 2
    world.pass_time(600)
    await world.settle(5)
    assert world.writes == ["CreateOrUpdate"] * 3
