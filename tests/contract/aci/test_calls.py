"""How often Azure is asked: for one group, and for many that are settled."""

from aci_world import SPEC, World
from azure_clients import asked
from azure_judge import Judge, whole

from berth.core.keys import Key

GROUPS = 20
MINUTES = 20
"""Two slow rounds."""


async def test_a_group_takes_few_calls_until_it_is_ready(world: World) -> None:
    world.apply()
    while not world.is_ready:
        await world.settle(1)
    assert asked(world.azure) == {
        "Token": 1,
        "ContainerGroups_ListByResourceGroup": 1,
        "Location_ListUsage": 1,
        "ContainerGroups_CreateOrUpdate": 1,
        "ContainerGroups_Get": 5,  # one before it is there, and one every ten seconds
        "Containers_ListLogs": 1,
    }


async def test_settled_groups_cost_one_list_a_minute_and_a_slow_round_of_gets(world: World) -> None:
    keys = [Key("demo", f"iris-{number}") for number in range(GROUPS)]
    for key in keys:
        world.apply(SPEC, key)
    for _ in range(5):
        for key in keys:
            await world.attempt(key)
        world.pass_time(10)
    assert len(world.groups) == GROUPS
    world.azure.requests.clear()
    before = len(world.cluster.writes)

    for _ in range(MINUTES):
        world.pass_time(60)
        for key in keys:
            await world.once(key)

    assert len(world.cluster.writes) == before
    calls = asked(world.azure)
    assert calls["ContainerGroups_ListByResourceGroup"] == MINUTES
    assert calls["ContainerGroups_Get"] == GROUPS * MINUTES // 10
    assert calls.total() - calls["Token"] == MINUTES + GROUPS * MINUTES // 10


async def test_what_is_asked_and_answered_here_is_judged(world: World, judge: Judge) -> None:
    """The fixture that serves Azure judges all of it at the end, whatever a test has cleared."""
    world.apply()
    await world.settle(5)
    world.azure.requests.clear()
    assert judge.findings(whole(world.azure)) == []

    for operation, side in (
        ("ContainerGroups_CreateOrUpdate", "request"),
        ("ContainerGroups_Get", "response"),
    ):
        deviant = next(
            each for each in whole(world.azure) if each.operation == operation and each.status != 404
        )
        body = deviant.request_body if side == "request" else deviant.response_body
        body["properties"]["osType"] = 7
        assert {(each.operation, each.side) for each in judge.findings(whole(world.azure))} == {
            (operation, side)
        }
        whole(world.azure).remove(deviant)
