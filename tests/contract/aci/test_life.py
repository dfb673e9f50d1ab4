"""The life of a ModelDeployment on ACI, from apply to nothing."""

import asyncio
import base64

import pytest
from aci_hours import spend
from aci_world import SPEC, World
from azure_clients import asked
from certificates import pair
from container_groups import IDENTITY

from berth.core.keys import Key
from berth.plan.resources import CONFIG_MAPS, SECRETS
from berth_sandbox.azure.faults import SlowDelete


async def test_apply_leads_to_ready_with_an_address(world: World) -> None:
    world.apply()

    await world.settle(5)

    there = world.get()
    assert there is not None
    assert world.is_ready, there["status"]
    (name,) = world.groups
    assert there["status"]["scoringUri"].endswith(".eastus.azurecontainer.io/score")
    assert there["status"]["aci"]["resourceId"].endswith(name)
    assert world.asked[-1] == "http://198.18.0.1/readyz"
    assert world.is_held()
    assert world.writes == ["CreateOrUpdate"]


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


async def test_a_new_variable_is_put_in_place(world: World) -> None:
    world.apply()
    await world.settle(5)
    (name,) = world.groups
    world.azure.requests.clear()

    world.apply(SPEC | {"env": [{"name": "A", "value": "b"}]})
    await world.settle(5)

    assert world.is_ready
    assert world.groups == [name]
    assert world.writes == ["CreateOrUpdate"]


async def test_what_azure_does_not_change_is_deleted_and_made_again(world: World) -> None:
    world.apply()
    await world.settle(5)
    world.azure.requests.clear()

    world.apply(SPEC | {"resources": {"requests": {"cpu": 2, "memory": "4G"}}})
    await world.settle(6)

    assert world.is_ready
    assert len(world.groups) == 1
    assert world.writes == ["Delete", "CreateOrUpdate"]


async def test_a_changed_config_map_arrives_with_one_restart(world: World) -> None:
    world.apply()
    await world.settle(5)
    world.azure.requests.clear()

    world.put_data(CONFIG_MAPS, Key("demo", "iris"), {"model.onnx": "another model"})
    world.pass_time(60)
    await world.settle(5)

    assert world.is_ready
    assert world.writes == ["CreateOrUpdate"]


async def test_keys_are_made_once_and_sent_out_of_sight(world: World) -> None:
    world.apply(SPEC | {"auth": {"mode": "Key"}})
    await world.settle(5)

    keys = world.get(SECRETS, Key("demo", "iris-keys"))
    assert keys is not None
    assert sorted(keys["data"]) == ["primaryKey", "secondaryKey"]
    (put,) = world.azure.requests.of("ContainerGroups_CreateOrUpdate")
    (volume,) = [each for each in put.request_body["properties"]["volumes"] if each["name"] == "berth-keys"]
    assert volume["secret"].keys() == keys["data"].keys()
    first = base64.b64decode(keys["data"]["primaryKey"]).decode()
    assert first not in str(world.get()) + str(put.request_body["tags"])


async def test_a_new_operator_finds_all_as_it_is_wanted(world: World) -> None:
    world.apply()
    await world.settle(5)
    world.azure.requests.clear()
    before = list(world.cluster.writes)

    world.restart()
    await world.settle(2)

    assert world.writes == []
    assert world.cluster.writes == before


async def test_a_move_to_another_region_leaves_no_group_behind(world: World) -> None:
    world.apply()
    await world.settle(5)
    before = world.groups

    world.apply(SPEC | {"aci": {"location": "westus"}})
    await world.settle(8)
    world.pass_time(60)
    await world.settle(3)

    assert world.is_ready
    assert len(world.groups) == 1
    assert world.groups != before


async def test_keys_that_nobody_is_asked_for_any_more_are_deleted(world: World) -> None:
    key = Key("demo", "iris-keys")
    world.apply(SPEC | {"auth": {"mode": "Key"}})
    await world.settle(5)
    assert world.get(SECRETS, key) is not None

    world.apply(SPEC | {"auth": {"mode": "None"}})
    await world.once()
    assert world.get(SECRETS, key) is not None  # the group asks for them still
    await world.settle(6)

    assert world.is_ready
    assert world.get(SECRETS, key) is None


async def test_a_secret_of_that_name_that_someone_else_made_stays(world: World) -> None:
    key = Key("demo", "iris-keys")
    world.put_data(SECRETS, key, {"primaryKey": "mine"})
    world.cluster.objects[SECRETS, key].metadata["labels"] = {"app.kubernetes.io/managed-by": "berth"}
    world.apply()
    await world.settle(6)
    assert world.is_ready
    assert world.get(SECRETS, key) is not None


@pytest.mark.leaves_groups
@pytest.mark.parametrize("change", [{"deletionPolicy": "Retain"}, {}], ids=["retained", "abandoned"])
async def test_a_group_can_be_kept(world: World, change: dict[str, str]) -> None:
    world.apply()
    await world.settle(5)
    world.azure.requests.clear()

    annotations = {} if change else {"berth.dev/abandon": "true"}
    world.apply(SPEC | change, **annotations)
    world.delete()
    await world.settle(2)

    assert world.get() is None
    assert len(world.groups) == 1
    assert world.writes == (["Update"] if change else [])  # a tag, which restarts nothing


async def test_a_deletion_that_takes_its_time_is_waited_for(world: World) -> None:
    world.apply()
    await world.settle(5)
    world.azure.faults.add(SlowDelete(25), "DELETE")

    world.delete()
    await world.settle(2)
    assert world.get() is not None

    await world.settle(4)
    assert world.get() is None
    assert world.groups == []


async def test_a_deletion_that_takes_long_is_looked_at_less_often(world: World) -> None:
    world.apply()
    await spend(world, 60)
    world.azure.faults.add(SlowDelete(600), "DELETE", times=None)
    world.azure.requests.clear()

    world.delete()
    await spend(world, 660)

    assert world.get() is None
    assert world.groups == []
    assert asked(world.azure)["ContainerGroups_Delete"] <= 660 / 20


async def test_a_golden_request_has_to_pass_first(world: World) -> None:
    world.apply(SPEC | {"validation": {"request": {"body": "{}"}, "expect": {"body": "[0]"}}})
    await world.settle(3)
    assert not world.is_ready

    for _ in range(3):
        await asyncio.sleep(0)
        await world.settle(1)

    assert world.is_ready
    assert [url for url in world.asked if url.endswith("/score")] == ["http://198.18.0.1/score"]


async def test_by_tls_the_group_is_asked_for_the_certificate_of_the_secret(world: World) -> None:
    first, second = pair("iris"), pair("rose")
    world.put_data(SECRETS, Key("demo", "cert"), first.entries)
    world.apply(SPEC | {"tls": {"secretRef": {"name": "cert"}, "hostname": "iris.example.org"}})
    await world.settle(5)

    there = world.get()
    assert there is not None
    assert world.is_ready, there["status"]
    assert there["status"]["scoringUri"] == "https://iris.example.org/score"
    assert world.asked[-1] == "https://198.18.0.1/readyz"
    assert world.trusted[-1] == first.digest

    world.put_data(SECRETS, Key("demo", "cert"), second.entries)
    world.pass_time(60)
    await world.settle(5)

    assert world.is_ready
    assert world.trusted[-1] == second.digest
    assert world.writes == ["CreateOrUpdate", "CreateOrUpdate"]


async def test_a_certificate_that_the_server_makes_is_taken_as_it_is(world: World) -> None:
    world.apply(SPEC | {"tls": {"selfSigned": True}})
    await world.settle(5)

    there = world.get()
    assert there is not None
    assert there["status"]["scoringUri"] == f"https://{there['status']['aci']['fqdn']}/score"
    assert world.trusted[-1] is None


async def test_a_model_in_storage_comes_by_a_secret_and_by_an_identity(world: World) -> None:
    uri = "wasbs://models@account.blob.core.windows.net/iris.onnx"
    world.put_data(SECRETS, Key("demo", "blob"), {"sasToken": "sv=1&sig=x"})
    model = {"name": "iris", "uri": uri, "format": "onnx"}
    world.apply(SPEC | {"model": model | {"credentialsSecretRef": {"name": "blob"}}})
    await world.settle(5)
    assert world.is_ready

    world.apply(SPEC | {"model": model, "aci": {"identities": [IDENTITY]}})
    await world.settle(5)

    assert world.is_ready
    group = await world.azure.service.get(world.azure.service.group_ids()[0])
    assert "sig=x" not in str(group)


async def test_a_suspended_one_makes_no_group(world: World) -> None:
    world.apply(SPEC | {"suspend": True})
    await world.settle(3)
    assert world.writes == []

    world.apply(SPEC)
    await world.settle(5)
    assert world.is_ready
