"""A module from apply to nothing, by the real library, on emulated devices."""

import json
from typing import Any

import pytest
from azure_emulator import CLIENT, RESOURCE_GROUP, SUBSCRIPTION
from azure_world import IRIS
from iot_edge_world import APPLICATION, DEVICES, MODEL, PLACE, EdgeWorld, edge_spec, place_spec
from iot_hub_emulator import HUB

from berth.core.keys import Key
from berth.plan.resources import COMPUTE_TARGETS
from berth_sandbox.azure.iot_hub.access import RIGHTS
from berth_sandbox.azure.iot_hub.content import AGENT, EDGE_HUB

PREDICTOR = Key("demo", "predictor")


def newer(version: str, **fields: Any) -> dict[str, Any]:
    return edge_spec(model=MODEL | {"version": version}, **fields)


async def ready(world: EdgeWorld, passes: int = 16) -> None:
    await world.settle(passes)
    assert world.is_ready(), world.condition("Ready")


async def test_a_model_is_brought_to_the_devices_and_to_no_others(world: EdgeWorld) -> None:
    world.apply()
    await ready(world)
    assert world.condition("Ready")["message"] == "3/3 devices run the current spec"
    assert all(world.module_of(device) for device in DEVICES)
    assert world.module_of("mill-1") is None
    assert world.is_held()
    assert world.writes == ["CreateOrUpdate"]


async def test_the_status_counts_devices(world: EdgeWorld) -> None:
    world.apply()
    await ready(world)
    there = world.edge()
    assert there.pop("deploymentId") == world.deployments[0]
    assert there == {
        "targeted": 3,
        "applied": 3,
        "running": 3,
        "failed": 0,
        "offline": 0,
        "outOfDate": 0,
        "stage": "complete",
    }


async def test_one_device_is_named_by_its_id(world: EdgeWorld) -> None:
    world.apply(edge_spec(iotEdge={"targetCondition": None, "deviceId": "press-2"}))
    await ready(world)
    assert [device for device in DEVICES if world.module_of(device)] == ["press-2"]


async def test_a_new_content_takes_the_place_of_the_old_one_and_no_device_is_ever_without(
    world: EdgeWorld,
) -> None:
    world.apply()
    await ready(world)
    (first,) = world.deployments
    world.apply(newer("4"))
    for _ in range(16):
        await world.attempt()
        assert world.deployments
        assert all(world.module_of(device) for device in DEVICES)
        world.pass_time(15)
    assert world.is_ready()
    (second,) = world.deployments
    assert second != first
    assert world.writes == ["CreateOrUpdate", "CreateOrUpdate", "Delete"]


async def test_what_is_no_content_is_changed_in_place(world: EdgeWorld) -> None:
    world.apply()
    await ready(world)
    (known,) = world.deployments
    world.apply(edge_spec(iotEdge={"priority": 20, "labels": {"line": "7"}}))
    await ready(world)
    assert world.deployments == [known]
    there = world.hub.configuration(known)
    assert (there["priority"], there["labels"]["line"]) == (20, "7")


async def test_a_lower_priority_is_taken_once_the_earlier_content_is_gone(world: EdgeWorld) -> None:
    world.apply()
    await ready(world)
    world.apply(newer("4", iotEdge={"priority": 5}))
    await world.attempt()
    assert [world.hub.configuration(name)["priority"] for name in world.deployments] == [10, 10]
    await ready(world, 20)
    (left,) = world.deployments
    assert world.hub.configuration(left)["priority"] == 5


async def test_devices_that_no_longer_match_lose_the_module(world: EdgeWorld) -> None:
    world.apply()
    await ready(world)
    world.apply(edge_spec(iotEdge={"targetCondition": "tags.site='plant-2'"}))
    await ready(world, 40)
    assert [world.module_of(device) for device in DEVICES] == [None] * 3
    assert world.module_of("mill-1")


async def test_two_models_on_the_same_devices_do_not_disturb_each_other(world: EdgeWorld) -> None:
    route = {
        "name": "results",
        "from": "/messages/modules/NAME/outputs/amlOutput",
        "into": "$upstream",
    }
    for key in (IRIS, PREDICTOR):
        routes = [route | {"from": route["from"].replace("NAME", key.name)}]
        world.apply(edge_spec(iotEdge={"module": {"name": key.name}, "routes": routes}), key)
    await world.settle(16, IRIS)
    await world.settle(16, PREDICTOR)
    assert world.is_ready(IRIS)
    assert world.is_ready(PREDICTOR)
    told = world.hub.device("press-1").situation.told.manifest.twins
    assert set(told[AGENT]["modules"]) == {"iris", "predictor"}
    routes = sorted(name.rpartition("-")[0] or name for name in told[EDGE_HUB]["routes"])
    assert routes == ["iris-results", "predictor-results", "upstream"]
    world.delete(key=PREDICTOR)
    await world.settle(4, PREDICTOR)
    assert world.get(key=PREDICTOR) is None
    assert world.module_of("press-1")


async def test_deletion_removes_the_layer_and_leaves_the_base_and_others(world: EdgeWorld) -> None:
    world.apply()
    await ready(world)
    world.delete()
    await world.settle(4)
    assert world.get() is None
    assert list(world.hub.fleet.deployments) == ["base"]
    world.pass_time(60)
    assert [world.module_of(device) for device in DEVICES] == [None] * 3
    assert world.hub.device("press-1").situation.told.applied == ("base",)


async def test_what_is_retained_goes_on(world: EdgeWorld) -> None:
    world.apply(edge_spec(deletionPolicy="Retain"))
    await ready(world)
    world.delete()
    await world.settle(2)
    assert world.get() is None
    assert len(world.deployments) == 1
    assert world.module_of("press-1")


async def test_what_is_not_ready_is_deleted_too(world: EdgeWorld) -> None:
    world.apply()
    await world.attempt()
    world.delete()
    await world.settle(4)
    assert (world.get(), world.deployments) == (None, [])


async def test_a_new_operator_goes_on_where_the_old_one_ended(world: EdgeWorld) -> None:
    world.apply()
    await ready(world)
    world.restart()
    before = len(world.azure.requests)
    await world.attempt()
    assert world.is_ready()
    assert world.writes == ["CreateOrUpdate"]
    assert len(world.azure.requests) - before <= 3


async def test_an_upgrade_of_the_scoring_image_restarts_no_model(world: EdgeWorld) -> None:
    world.apply()
    await ready(world)
    world.restart()
    world.target._image = "registry.example/scoring:99"
    await world.settle(4)
    assert world.writes == ["CreateOrUpdate"]
    world.apply(newer("4"))
    await ready(world)
    module = world.module_of("press-1")
    assert module is not None
    assert module["settings"]["image"] == "registry.example/scoring:99"


async def test_the_module_is_told_its_ends_and_where_to_keep_the_model(world: EdgeWorld) -> None:
    world.apply()
    await ready(world)
    module = world.module_of("press-1")
    assert module is not None
    parts = [name for name in sorted(module["env"]) if name.startswith("BERTH_SCORING_CONFIG")]
    config = json.loads("".join(module["env"][name]["value"] for name in parts))
    assert config["edge"] == {
        "input": "amlInput",
        "output": "amlOutput",
        "cacheDir": "/var/azureml-app/cache",
    }
    assert config["models"][0]["uri"] == MODEL["uri"]


async def test_a_suspended_deployment_changes_nothing(world: EdgeWorld) -> None:
    world.apply()
    await ready(world)
    world.apply(newer("4", suspend=True))
    await world.settle(4)
    assert world.writes == ["CreateOrUpdate"]


async def test_the_compute_target_tells_what_is_used_and_free(world: EdgeWorld) -> None:
    world.apply()
    await ready(world)
    world.hub.fare(["press-3"], online=False)
    world.pass_time(60)
    await world.place_once()
    there = world.get(COMPUTE_TARGETS, PLACE)
    assert there is not None
    assert there["status"]["iotEdge"] == {
        "tier": "Standard",
        "units": 1,
        "deployments": {"own": 1, "used": 2, "limit": 100},
        "devices": {"connected": 3, "all": 4},
    }
    assert world.condition("Ready", COMPUTE_TARGETS, PLACE)["status"] == "True"
    assert world.condition("HubAvailable", COMPUTE_TARGETS, PLACE)["status"] == "True"


@pytest.mark.parametrize("passes", [20])
async def test_at_rest_a_minute_costs_one_list(world: EdgeWorld, passes: int) -> None:
    world.apply()
    await ready(world, 60)
    world.azure.requests.clear()
    for _ in range(passes):
        await world.attempt()
        world.pass_time(60)
    asked = [each.operation for each in world.azure.requests]
    assert asked.count("Configuration_GetConfigurations") in {passes - 1, passes}
    assert len(asked) <= passes + 2 * (passes // 10 + 1)


async def test_azure_tells_tier_and_units_to_an_identity(world: EdgeWorld) -> None:
    world.azure.hubs.access(world.hub.name).roles[CLIENT] = RIGHTS
    group = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{RESOURCE_GROUP}"
    hub = f"{group}/providers/Microsoft.Devices/IotHubs/{HUB}"
    edge = {"connectionStringRef": None, "resourceId": hub}
    world.put(
        COMPUTE_TARGETS, PLACE, {"spec": place_spec(world.endpoint, iotEdge=edge, credentials=APPLICATION)}
    )
    await world.place_once()
    there = world.get(COMPUTE_TARGETS, PLACE)
    assert there is not None
    assert (there["status"]["iotEdge"]["tier"], there["status"]["iotEdge"]["units"]) == ("Standard", 4)
    edge["resourceId"] = f"{hub}-2"
    world.put(
        COMPUTE_TARGETS, PLACE, {"spec": place_spec(world.endpoint, iotEdge=edge, credentials=APPLICATION)}
    )
    await world.place_once()
    assert world.condition("Stalled", COMPUTE_TARGETS, PLACE)["reason"] == "HubNotFound"
