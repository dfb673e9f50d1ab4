"""Stages, waits and the way back, on emulated devices."""

from typing import Any

from azure_world import IRIS, Killed
from container_groups import IMAGE
from iot_edge_world import DEVICES, MODEL, EdgeWorld, edge_spec

from berth_sandbox.azure.iot_hub.modules import ModuleBehaviour

CANARY = {"targetCondition": "deviceId = 'press-2'"}


def staged(*stages: dict[str, Any], version: str = "3", image: str | None = None, **rollout: Any) -> Any:
    fields: dict[str, Any] = {"image": image} if image else {}
    return edge_spec(
        model=MODEL | {"version": version}, iotEdge={"rollout": {"stages": list(stages), **rollout}}, **fields
    )


def version_on(world: EdgeWorld, device: str) -> str | None:
    module = world.module_of(device)
    if module is None:
        return None
    config = module["env"]["BERTH_SCORING_CONFIG"]["value"]
    return str(config.partition('"version":"')[2].partition('"')[0])


async def steps(world: EdgeWorld, passes: int) -> list[list[str | None]]:
    """Run passes, and return what the devices ran, each time that it changed."""
    seen: list[list[str | None]] = []
    for _ in range(passes):
        await world.attempt()
        now = [version_on(world, device) for device in DEVICES]
        if not seen or seen[-1] != now:
            seen.append(now)
        world.pass_time(15)
    return seen


async def test_a_new_version_reaches_the_canary_first(world: EdgeWorld) -> None:
    world.apply(staged(CANARY))
    await steps(world, 24)
    assert world.is_ready()
    world.apply(staged(CANARY, version="4"))
    seen = await steps(world, 30)
    assert seen == [["3", "3", "3"], ["3", "4", "3"], ["4", "4", "4"]]
    assert world.is_ready()
    assert len(world.deployments) == 1
    assert world.edge()["stage"] == "complete"


async def test_a_share_of_the_devices_is_a_stage(world: EdgeWorld) -> None:
    world.apply(staged({"percent": 34}, {"percent": 67}))
    seen = await steps(world, 40)
    assert [sum(version == "3" for version in each) for each in seen] == [0, 2, 3]
    assert world.is_ready()


async def test_the_status_says_which_stage_it_is(world: EdgeWorld) -> None:
    world.apply(staged(CANARY, {"percent": 67}))
    await steps(world, 3)
    assert world.edge()["stage"] == "1 of 2"
    assert world.condition("Ready")["message"].startswith("Stage 1 of 2: ")
    assert world.condition("Reconciling")["reason"] == "RollingOut"


async def test_a_stage_waits_while_it_is_healthy(world: EdgeWorld) -> None:
    world.apply(staged(CANARY | {"waitSeconds": 1800}))
    await steps(world, 20)
    assert world.edge()["stage"] == "1 of 1"
    assert "stageHealthySince" in world.edge()
    world.pass_time(1800)
    await steps(world, 20)
    assert world.edge()["stage"] == "complete"


async def test_a_version_that_fails_goes_back_and_is_not_tried_again(world: EdgeWorld) -> None:
    world.apply(staged(CANARY, image="team/scorer:1"))
    await steps(world, 24)
    assert world.is_ready()
    crash = ModuleBehaviour(run_seconds=1.0, exit_code=7)
    world.hub.fare(list(DEVICES), behaviours={"team/scorer:2": crash})
    (good,) = world.deployments
    world.apply(staged(CANARY, image="team/scorer:2"))
    for _ in range(30):
        await world.attempt()
        assert good in world.deployments
        world.pass_time(15)
    assert world.deployments == [good]
    problem = world.condition("Stalled")
    assert problem["reason"] == "RolledBack"
    assert "press-2: " in problem["message"]
    images = [(world.module_of(device) or {})["settings"]["image"] for device in DEVICES]
    assert images == ["team/scorer:1"] * 3
    counts = {name: world.edge().get(name) for name in ("targeted", "applied", "running", "outOfDate")}
    assert counts == {"targeted": 3, "applied": 3, "running": 0, "outOfDate": 3}
    assert [each.reason for each in world.events].count("RolloutFailed") == 1
    before = len(world.writes)
    world.restart()
    await steps(world, 6)
    assert len(world.writes) == before


async def test_after_a_way_back_another_spec_is_tried(world: EdgeWorld) -> None:
    world.apply(staged(CANARY, image="team/scorer:1"))
    await steps(world, 24)
    world.hub.fare(list(DEVICES), behaviours={"team/scorer:2": ModuleBehaviour(run_seconds=1.0, exit_code=7)})
    world.apply(staged(CANARY, image="team/scorer:2"))
    await steps(world, 30)
    world.apply(staged(CANARY, image="team/scorer:3"))
    await steps(world, 40)
    assert world.is_ready()
    assert len(world.deployments) == 1


async def test_without_an_earlier_version_a_rollout_that_fails_goes_no_further(world: EdgeWorld) -> None:
    world.hub.fare(list(DEVICES), behaviours={IMAGE: ModuleBehaviour(run_seconds=1.0, exit_code=7)})
    world.apply(staged(CANARY))
    await steps(world, 24)
    assert world.condition("Stalled")["reason"] == "DevicesFailing"
    assert [version_on(world, device) for device in DEVICES] == [None, "3", None]
    assert world.edge()["failed"] == 1


async def test_more_failures_than_none_may_be_allowed(world: EdgeWorld) -> None:
    world.hub.fare(["press-2"], behaviours={IMAGE: ModuleBehaviour(run_seconds=1.0, exit_code=7)})
    everyone = {"targetCondition": "tags.site='plant-1'", "minHealthyPercent": 60}
    world.apply(staged(everyone, maxFailedPercent=40))
    await steps(world, 24)
    assert world.edge()["stage"] == "complete"


async def test_a_rollout_killed_after_any_call_is_the_same_rollout(world: EdgeWorld) -> None:
    world.apply(staged(CANARY))
    await steps(world, 24)
    world.apply(staged(CANARY, version="4"))
    for _ in range(24):
        world.mortal.last = world.mortal.calls + 1
        await killed(world)
        assert any(version_on(world, device) for device in DEVICES)
        world.restart()
        world.mortal.last = None
        await world.attempt()
        world.pass_time(15)
    assert [version_on(world, device) for device in DEVICES] == ["4"] * 3
    assert len(world.deployments) == 1


async def killed(world: EdgeWorld) -> None:
    try:
        await world.once(IRIS)
    except Killed:
        return
