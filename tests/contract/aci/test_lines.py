"""Who waits for room waits for that of its own ComputeTarget and region, and for no other."""

from typing import Any

from aci_world import PLACE, SPEC, World, place_spec
from azure_emulator import SUBSCRIPTION
from azure_world import IRIS

from berth.core.keys import Key
from berth.plan.resources import COMPUTE_TARGETS, MODEL_DEPLOYMENTS

OTHER = Key("", "other")
SECOND, THIRD, FOURTH = (Key("demo", name) for name in ("second", "third", "fourth"))
ELSEWHERE = SPEC | {"computeTargetRef": {"name": OTHER.name}}


def put_place(world: World, key: Key, quota: int, **fields: Any) -> None:
    spec = place_spec(world.endpoint)
    aci = spec["aci"] | {"quota": {"containerGroups": quota}} | fields
    world.put(COMPUTE_TARGETS, key, {"spec": spec | {"aci": aci}})


def apply_at(world: World, hour: int, key: Key, spec: dict[str, Any]) -> None:
    world.apply(spec, key)
    metadata = world.cluster.objects[MODEL_DEPLOYMENTS, key].metadata
    metadata["creationTimestamp"] = f"2026-11-01T1{hour}:00:00Z"


def limit_subscription(world: World, groups: int) -> None:
    world.azure.service.subscriptions[SUBSCRIPTION].quotas["ContainerGroups"] = groups


def made(world: World) -> set[str]:
    return {name.rpartition("-")[0] for name in world.groups}


async def test_groups_of_another_resource_group_take_nothing_from_the_quota(world: World) -> None:
    put_place(world, OTHER, 1, resourceGroup="other")
    world.apply()
    await world.settle(2)
    world.apply(ELSEWHERE, SECOND)
    await world.settle(2, SECOND)
    assert made(world) == {"demo-iris", "demo-second"}


async def test_who_waits_for_its_own_quota_holds_up_nobody_else(world: World) -> None:
    put_place(world, PLACE, 1)
    put_place(world, OTHER, 1, resourceGroup="other")
    for hour, (key, spec) in enumerate([(IRIS, SPEC), (SECOND, SPEC), (THIRD, ELSEWHERE)]):
        apply_at(world, hour, key, spec)
        await world.settle(2, key)
    assert world.condition("Stalled", key=SECOND)["reason"] == "QuotaExceeded"
    assert made(world) == {"demo-iris", "demo-third"}


async def test_the_last_place_of_a_subscription_is_for_who_came_first(world: World) -> None:
    limit_subscription(world, 1)
    put_place(world, OTHER, 5, resourceGroup="other")
    for hour, (key, spec) in enumerate([(IRIS, SPEC), (SECOND, SPEC), (THIRD, ELSEWHERE)]):
        apply_at(world, hour, key, spec)
        await world.settle(2, key)
    assert "1 wait before" in world.condition("Stalled", key=THIRD)["message"]
    world.delete()
    await world.settle(2)
    world.pass_time(60)
    await world.settle(1, THIRD)
    assert made(world) == set()
    await world.settle(1, SECOND)
    assert made(world) == {"demo-second"}


async def test_who_goes_to_another_region_waits_in_its_line_only(world: World) -> None:
    limit_subscription(world, 1)
    west = SPEC | {"aci": {"location": "westus"}}
    for hour, (key, spec) in enumerate([(IRIS, SPEC), (FOURTH, west), (SECOND, SPEC), (THIRD, SPEC)]):
        apply_at(world, hour, key, spec)
        await world.settle(2, key)
    assert made(world) == {"demo-iris", "demo-fourth"}
    world.apply(west, SECOND)
    await world.settle(1, SECOND)
    world.delete()
    await world.settle(2)
    world.pass_time(60)
    await world.settle(1, THIRD)
    assert made(world) == {"demo-fourth", "demo-third"}
