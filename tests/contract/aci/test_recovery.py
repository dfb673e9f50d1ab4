"""What crashes or is given up: told soon, made again in time, and asked for seldom."""

import pytest
from aci_world import SPEC, World
from azure_clients import asked
from azure_emulator import group_id
from container_groups import SUBNET

from berth_sandbox.azure.faults import FailOperation, StickPending
from berth_sandbox.azure.simulation import Behaviour, Simulation

OWN = SPEC | {"image": "registry.test/own:1", "imageServer": "Berth"}
WRITES = ("ContainerGroups_CreateOrUpdate", "ContainerGroups_Delete")


async def minutes(world: World, count: int) -> None:
    for _ in range(count):
        world.pass_time(60)
        await world.attempt()


async def state(world: World) -> str:
    """Read the state of the only group's only server."""
    (name,) = world.groups
    container = (await world.azure.service.get(group_id(name)))["properties"]["containers"][0]
    told: str = container["properties"]["instanceView"]["currentState"]["state"]
    return told


async def test_what_azure_gave_up_is_made_again_later_each_time_until_it_serves(world: World) -> None:
    busy = FailOperation("ServiceUnavailable", "No capacity in the region.")
    fault = world.azure.faults.add(busy, "PUT", times=None)
    world.apply()
    await world.settle(3)
    assert world.condition("Stalled")["status"] == "True"
    assert "made again" in world.condition("Stalled")["message"]
    world.azure.requests.clear()

    await minutes(world, 180)

    calls = asked(world.azure)
    assert all(5 <= calls[write] <= 10 for write in WRITES)
    assert calls["ContainerGroups_Get"] <= 2 * 180
    assert len(world.groups) <= 1

    world.azure.faults.remove(fault)
    await minutes(world, 35)
    assert world.is_ready
    assert len(world.groups) == 1
    world.azure.requests.clear()
    await minutes(world, 30)
    assert world.writes == []


async def test_an_image_that_is_mended_in_its_registry_is_found(world: World, simulation: Simulation) -> None:
    simulation.behaviours["registry.test/own:1"] = Behaviour(pull_error="unauthorized")
    world.apply(OWN)
    await minutes(world, 60)
    assert world.condition("Ready")["reason"] == "ImagePullFailed"
    assert 1 <= len(world.azure.requests.of("ContainerGroups_Delete")) <= 3

    del simulation.behaviours["registry.test/own:1"]
    await minutes(world, 65)
    assert world.is_ready


async def test_a_changed_spec_does_not_wait_for_the_next_attempt(world: World) -> None:
    world.azure.faults.add(FailOperation("ServiceUnavailable", "No."), "PUT", times=4)
    world.apply()
    await minutes(world, 10)
    assert not world.is_ready
    world.azure.faults.clear()

    world.apply(SPEC | {"env": [{"name": "A", "value": "b"}]})
    await world.settle(8)

    assert world.is_ready
    assert len(world.groups) == 1


async def test_who_asks_by_the_annotation_does_not_wait_either(world: World) -> None:
    world.azure.faults.add(FailOperation("ServiceUnavailable", "No."), "PUT", times=1)
    world.apply()
    await world.settle(3)
    world.apply(SPEC, **{"reconcile.berth.dev/requestedAt": "now"})
    await world.settle(8)
    assert world.is_ready


async def test_what_ended_as_its_restart_policy_says_is_started_on_request_alone(
    world: World, simulation: Simulation
) -> None:
    simulation.behaviours["registry.test/own:1"] = Behaviour(run_seconds=20, exit_code=1, log=("Bye",))
    once = OWN | {"aci": {"restartPolicy": "Never"}}
    world.apply(once)
    await world.settle(6)
    world.azure.requests.clear()
    await minutes(world, 120)
    assert world.writes == []
    assert "exit code 1" in world.condition("Stalled")["message"]

    del simulation.behaviours["registry.test/own:1"]
    world.apply(once, **{"reconcile.berth.dev/requestedAt": "now"})
    await world.settle(6)
    assert world.is_ready


async def test_a_group_that_is_stuck_for_half_an_hour_is_made_again(world: World) -> None:
    world.azure.faults.add(StickPending(), "PUT", times=1)
    world.apply()
    await minutes(world, 40)
    assert world.is_ready
    assert world.writes == ["CreateOrUpdate", "Delete", "CreateOrUpdate"]


async def test_the_crash_of_a_ready_group_is_told_by_the_pass_that_its_silence_brings(
    world: World, simulation: Simulation
) -> None:
    crash = Behaviour(run_seconds=300, exit_code=3, log=("Loading", "No space left on device"))
    simulation.behaviours["registry.test/own:1"] = crash
    world.apply(OWN)
    await world.settle(5)
    assert world.is_ready
    while await state(world) == "Running":
        world.pass_time(5)
    world.answers = False
    world.azure.requests.clear()

    await world.attempt()

    assert world.condition("Ready")["status"] == "False"
    assert world.condition("Ready")["reason"] == "ContainerFailed"
    assert "exit code 3" in world.condition("Ready")["message"]
    assert "No space left on device" in world.condition("Ready")["message"]
    calls = asked(world.azure)
    assert calls["ContainerGroups_Get"] == calls["Containers_ListLogs"] == 1


async def test_a_silent_group_that_runs_is_read_once_a_minute_and_not_more(world: World) -> None:
    world.apply()
    await world.settle(5)
    world.answers = False
    await world.attempt()
    paused = []
    for _ in range(10):
        world.pass_time(60)
        paused.append((await world.once()).seconds)  # type: ignore[union-attr] # not at its end
    assert not world.is_ready
    assert set(paused[2:]) == {60}


@pytest.mark.parametrize("spec", [SPEC, SPEC | {"aci": {"subnetId": SUBNET}}], ids=["public", "in a subnet"])
async def test_only_who_cannot_be_asked_is_read_each_minute(world: World, spec: dict[str, object]) -> None:
    world.apply(spec)
    await world.settle(5)
    world.azure.requests.clear()
    await minutes(world, 9)
    calls = asked(world.azure)
    assert calls["ContainerGroups_ListByResourceGroup"] == 9
    assert calls["ContainerGroups_Get"] == (9 if "aci" in spec else 0)
    assert bool(world.asked) is ("aci" not in spec)


async def test_a_crash_in_a_subnet_is_told_within_a_minute(world: World, simulation: Simulation) -> None:
    crash = Behaviour(run_seconds=120, exit_code=137, log=("Killed",))
    simulation.behaviours["registry.test/own:1"] = crash
    world.apply(OWN | {"aci": {"subnetId": SUBNET}})
    await world.settle(5)
    assert world.is_ready
    while await state(world) == "Running":
        world.pass_time(5)
    await world.attempt()
    assert world.condition("Ready")["reason"] == "OutOfMemory"
