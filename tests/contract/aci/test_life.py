"""The life of a ModelDeployment on ACI, from apply to nothing."""

from aci_world import SPEC, World
from azure_clients import asked

WRITES = ("ContainerGroups_CreateOrUpdate", "ContainerGroups_Update", "ContainerGroups_Delete")


def writes(world: World) -> list[str]:
    return [exchange.operation for exchange in world.azure.requests.of(*WRITES)]


async def test_apply_leads_to_ready_with_an_address(world: World) -> None:
    world.apply()

    await world.settle(5)

    there = world.get()
    assert there is not None
    assert world.condition("Ready")["status"] == "True", there["status"]
    (name,) = world.groups
    assert there["status"]["scoringUri"].endswith(".eastus.azurecontainer.io:5001/score")
    assert there["status"]["aci"]["resourceId"].endswith(name)
    assert world.asked[-1].endswith(":5001/readyz")
    assert world.is_held()
    assert writes(world) == ["ContainerGroups_CreateOrUpdate"]


async def test_deletion_leaves_nothing(world: World) -> None:
    world.apply()
    await world.settle(5)

    world.delete()
    await world.settle(3)

    assert world.get() is None
    assert world.groups == []


async def test_what_is_settled_costs_no_write_and_few_reads(world: World) -> None:
    world.apply()
    await world.settle(5)
    world.azure.requests.clear()
    before = list(world.cluster.writes)

    for _ in range(5):
        world.pass_time(60)
        await world.once()

    assert world.cluster.writes == before
    assert asked(world.azure) == {"ContainerGroups_ListByResourceGroup": 5}


async def test_a_new_image_is_put_in_place(world: World) -> None:
    world.apply()
    await world.settle(5)
    (name,) = world.groups
    world.azure.requests.clear()

    world.apply(SPEC | {"env": [{"name": "A", "value": "b"}]})
    await world.settle(5)

    assert world.condition("Ready")["status"] == "True"
    assert world.groups == [name]
    assert writes(world) == ["ContainerGroups_CreateOrUpdate"]


async def test_what_azure_does_not_change_is_deleted_and_made_again(world: World) -> None:
    world.apply()
    await world.settle(5)
    world.azure.requests.clear()

    world.apply(SPEC | {"resources": {"requests": {"cpu": 2, "memory": "4G"}}})
    await world.settle(6)

    assert world.condition("Ready")["status"] == "True"
    assert len(world.groups) == 1
    assert writes(world) == ["ContainerGroups_Delete", "ContainerGroups_CreateOrUpdate"]
