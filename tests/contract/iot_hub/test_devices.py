"""What deployments do to devices, as it is seen from the hub."""

import asyncio
from typing import Any

import pytest
from azure.iot.hub.models import QuerySpecification
from iot_hub_emulator import (
    BASE_PRIORITY,
    FIRST_RUN,
    IMAGE,
    INTERVAL,
    LAG,
    Clients,
    base,
    base_content,
    deployment,
    layer,
    layer_content,
)

from berth_sandbox.azure.cloud import Azure
from berth_sandbox.azure.iot_hub.hub import Hub
from berth_sandbox.azure.iot_hub.modules import OUT_OF_MEMORY, ModuleBehaviour

SETTLED = 120  # seconds within which every device has done what it was told


async def deployed(azure: Azure, clients: Clients, *deployments: Any) -> None:
    """Create deployments and let time pass until every agent has reported."""
    for one in deployments:
        await clients.create(one)
    azure.clock.advance(SETTLED)


async def reported(clients: Clients, device: str) -> dict[str, Any]:
    found: dict[str, Any] = (await clients.agent(device)).properties.reported
    return found


async def modules(clients: Clients, device: str) -> dict[str, str]:
    """Return how the modules of a device fare, as its agent reports."""
    known = (await reported(clients, device)).get("modules", {})
    return {name: module["runtimeStatus"] for name, module in known.items()}


async def test_a_layer_adds_its_module_to_the_devices_that_it_means(azure: Azure, clients: Clients) -> None:
    await deployed(azure, clients, base(telemetry=layer_module()), layer(condition="tags.site='plant-1'"))

    assert await modules(clients, "press-1") == {"telemetry": "running", "iris": "running"}
    assert await modules(clients, "press-2") == {"telemetry": "running", "iris": "running"}
    assert await modules(clients, "oven-1") == {"telemetry": "running"}


def layer_module() -> dict[str, Any]:
    described: dict[str, Any] = layer_content()["$edgeAgent"]["properties.desired.modules.iris"]
    return described


async def test_the_twin_of_the_agent_tells_whose_deployments_a_device_has(
    azure: Azure, clients: Clients
) -> None:
    await deployed(azure, clients, base(), deployment("older", base_content(), priority=0), layer())

    answer = await clients.agent("press-1")
    raw = azure.requests.of("Modules_GetTwin")[-1].response_body

    assert raw["configurations"] == {
        "base": {"status": "Applied"},
        "iris": {"status": "Applied"},
        "older": {"status": "Targeted"},
    }
    assert answer.properties.reported["lastDesiredVersion"] == answer.properties.desired["$version"]


async def test_without_a_base_a_layer_is_targeted_and_never_applied(azure: Azure, clients: Clients) -> None:
    await deployed(azure, clients, layer())
    azure.clock.advance(INTERVAL)

    assert (await reported(clients, "press-1"))["lastDesiredStatus"]["code"] == 417
    assert (await clients.get("iris")).system_metrics.results == {
        "targetedCount": 3,
        "appliedCount": 0,
        "reportedSuccessfulCount": 0,
        "reportedFailedCount": 0,
    }


async def test_a_layer_below_the_base_is_never_applied(azure: Azure, clients: Clients) -> None:
    await deployed(azure, clients, base(), layer(priority=BASE_PRIORITY - 1))

    assert await modules(clients, "press-1") == {}


async def test_of_two_layers_with_one_module_the_higher_wins_and_then_the_other(
    azure: Azure, clients: Clients
) -> None:
    mine = deployment("mine", layer_content(image="mine@sha256:1"), priority=20)
    theirs = deployment("theirs", layer_content(image="theirs@sha256:1"), priority=10)
    await deployed(azure, clients, base(), mine, theirs)
    assert await image(clients, "press-1") == "mine@sha256:1"

    await clients.delete("mine")
    azure.clock.advance(SETTLED)

    assert await image(clients, "press-1") == "theirs@sha256:1"


async def test_of_two_layers_of_one_priority_the_newer_wins(azure: Azure, clients: Clients) -> None:
    await clients.create(deployment("zzz-older", layer_content(image="older@sha256:1")))
    azure.clock.advance(1)
    await deployed(azure, clients, base(), deployment("newer", layer_content(image="newer@sha256:1")))

    assert await image(clients, "press-1") == "newer@sha256:1"


async def image(clients: Clients, device: str, module: str = "iris") -> str:
    found: str = (await reported(clients, device))["modules"][module]["settings"]["image"]
    return found


async def test_a_new_layer_before_the_old_one_goes_leaves_no_gap(azure: Azure, clients: Clients) -> None:
    await deployed(azure, clients, base(), deployment("iris-1", layer_content(image="iris@sha256:1")))
    await deployed(azure, clients, deployment("iris-2", layer_content(image="iris@sha256:2"), priority=11))
    started = (await reported(clients, "press-1"))["modules"]["iris"]["lastStartTimeUtc"]

    await clients.delete("iris-1")
    azure.clock.advance(SETTLED)

    now = (await reported(clients, "press-1"))["modules"]["iris"]
    assert (now["settings"]["image"], now["lastStartTimeUtc"]) == ("iris@sha256:2", started)


async def test_a_deleted_layer_takes_its_module_along_and_no_other(azure: Azure, clients: Clients) -> None:
    await deployed(azure, clients, base(telemetry=layer_module()), layer())

    await clients.delete("iris")
    azure.clock.advance(SETTLED)

    assert await modules(clients, "press-1") == {"telemetry": "running"}


async def test_a_device_without_its_base_keeps_what_it_runs(azure: Azure, clients: Clients) -> None:
    await deployed(azure, clients, base(telemetry=layer_module()))
    before = (await clients.agent("press-1")).properties

    await clients.delete("base")
    azure.clock.advance(SETTLED)

    after = (await clients.agent("press-1")).properties
    assert await modules(clients, "press-1") == {"telemetry": "running"}
    assert after.desired["$version"] == before.desired["$version"]
    assert after.reported["lastDesiredStatus"]["code"] == 200


async def test_devices_come_and_go_with_their_tags(azure: Azure, clients: Clients) -> None:
    await deployed(azure, clients, base(), layer(condition="tags.site='plant-1'"))

    await tag(clients, "oven-1", "plant-1")
    await tag(clients, "press-1", "plant-2")
    assert await modules(clients, "oven-1") == {}
    azure.clock.advance(INTERVAL + SETTLED)

    assert await modules(clients, "oven-1") == {"iris": "running"}
    assert await modules(clients, "press-1") == {}


async def tag(clients: Clients, device: str, site: str) -> None:
    twin = await clients(clients.registry.get_twin, device)
    twin.tags = {"site": site}
    await clients(clients.registry.update_twin, device, twin, twin.etag)


async def test_the_agent_reports_a_version_before_it_reports_the_modules(
    azure: Azure, clients: Clients
) -> None:
    await clients.create(base())
    azure.clock.advance(SETTLED)
    await clients.create(layer())
    azure.clock.advance(FIRST_RUN + 2 + 10)

    at_first = await clients.agent("press-1")
    azure.clock.advance(5)
    later = await clients.agent("press-1")

    assert at_first.properties.reported["lastDesiredVersion"] == at_first.properties.desired["$version"]
    assert at_first.properties.reported["lastDesiredStatus"]["code"] == 200
    assert at_first.properties.reported["modules"] == {}
    assert later.properties.reported["modules"]["iris"]["runtimeStatus"] == "running"


async def test_an_image_that_one_device_cannot_pull(plants: Hub, azure: Azure, clients: Clients) -> None:
    plants.fare(["press-2"], behaviours={IMAGE: ModuleBehaviour(pull_error="manifest unknown")})
    await deployed(azure, clients, base(), layer())

    failed = await reported(clients, "press-2")

    assert failed["lastDesiredStatus"]["code"] == 500
    assert "module iris" in failed["lastDesiredStatus"]["description"]
    assert "manifest unknown" in failed["lastDesiredStatus"]["description"]
    assert failed["modules"] == {}
    assert await modules(clients, "press-1") == {"iris": "running"}
    azure.clock.advance(INTERVAL)
    assert (await clients.get("iris")).system_metrics.results["reportedFailedCount"] == 1


async def test_what_cannot_be_pulled_leaves_the_old_image_running(
    plants: Hub, azure: Azure, clients: Clients
) -> None:
    await deployed(azure, clients, base(), deployment("iris-1", layer_content(image="iris@sha256:1")))
    plants.fare(["press-1"], behaviours={"iris@sha256:2": ModuleBehaviour(pull_error="no space left")})

    await deployed(azure, clients, deployment("iris-2", layer_content(image="iris@sha256:2"), priority=11))

    assert await image(clients, "press-1") == "iris@sha256:1"
    assert await image(clients, "press-2") == "iris@sha256:2"
    assert await modules(clients, "press-1") == {"iris": "running"}


async def test_a_pull_that_works_at_last(plants: Hub, azure: Azure, clients: Clients) -> None:
    plants.fare(["press-1"], behaviours={IMAGE: ModuleBehaviour(pull_error="time-out")})
    await deployed(azure, clients, base(), layer())
    assert await modules(clients, "press-1") == {}

    plants.fare(["press-1"], behaviours={})
    azure.clock.advance(SETTLED)

    assert await modules(clients, "press-1") == {"iris": "running"}
    assert (await reported(clients, "press-1"))["lastDesiredStatus"]["code"] == 200


async def test_a_module_that_runs_out_of_memory_backs_off_and_fails_in_the_end(
    plants: Hub, azure: Azure, clients: Clients
) -> None:
    killed = ModuleBehaviour(run_seconds=3, exit_code=OUT_OF_MEMORY)
    plants.fare(["press-1"], behaviours={IMAGE: killed})
    await deployed(azure, clients, base(), layer())

    module = (await reported(clients, "press-1"))["modules"]["iris"]
    assert (module["runtimeStatus"], module["exitCode"]) == ("backoff", OUT_OF_MEMORY)
    assert 1 <= module["restartCount"] <= 5
    assert (await reported(clients, "press-1"))["lastDesiredStatus"]["code"] == 200
    azure.clock.advance(20 * 303)

    module = (await reported(clients, "press-1"))["modules"]["iris"]
    assert (module["runtimeStatus"], module["restartCount"]) == ("failed", 20)
    assert await modules(clients, "press-2") == {"iris": "running"}


async def test_a_device_that_is_offline_says_nothing_and_catches_up(
    plants: Hub, azure: Azure, clients: Clients
) -> None:
    await deployed(azure, clients, base())
    before = await reported(clients, "press-1")
    plants.fare(["press-1"], online=False)
    await deployed(azure, clients, layer())

    twin = await clients.agent("press-1")
    assert twin.connection_state == "Disconnected"
    assert twin.properties.desired["$version"] == before["lastDesiredVersion"] + 1
    assert strip(twin.properties.reported) == strip(before)
    azure.clock.advance(3600)
    assert (await clients.agent("press-1")).last_activity_time == twin.last_activity_time

    plants.fare(["press-1"], online=True)
    azure.clock.advance(SETTLED)

    assert await modules(clients, "press-1") == {"iris": "running"}
    assert (await clients.agent("press-1")).connection_state == "Connected"


def strip(properties: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in properties.items() if name != "$metadata"}


async def test_a_slow_device_takes_its_time(plants: Hub, azure: Azure, clients: Clients) -> None:
    plants.fare(["press-1"], slowness=30.0)
    await deployed(azure, clients, base(), layer())

    assert await modules(clients, "press-2") == {"iris": "running"}
    assert (await reported(clients, "press-1"))["lastDesiredVersion"] == 0
    azure.clock.advance(1000)
    assert await modules(clients, "press-1") == {"iris": "running"}


BROKEN: dict[str, tuple[dict[str, Any], int]] = {
    "no schema version": ({"schemaVersion": None}, 412),
    "a schema version of the future": ({"schemaVersion": "2.0"}, 412),
    "no runtime": ({"runtime": None}, 400),
    "a policy that is none": ({"modules": {"iris": {**layer_module(), "restartPolicy": "sometimes"}}}, 400),
    "options that are not JSON": (
        {"modules": {"iris": {**layer_module(), "settings": {"image": IMAGE, "createOptions": "{"}}}},
        400,
    ),
}


@pytest.mark.parametrize(("change", "code"), BROKEN.values(), ids=BROKEN)
async def test_a_manifest_that_no_agent_can_read_changes_nothing(
    azure: Azure, clients: Clients, change: dict[str, Any], code: int
) -> None:
    await deployed(azure, clients, base(telemetry=layer_module()))
    content = base_content()
    desired = {**content["$edgeAgent"]["properties.desired"], **change}
    desired = {name: value for name, value in desired.items() if value is not None}

    await deployed(azure, clients, deployment("broken", {"$edgeAgent": {"properties.desired": desired}}))

    twin = await clients.agent("press-1")
    assert twin.properties.reported["lastDesiredStatus"]["code"] == code
    assert twin.properties.reported["lastDesiredVersion"] == twin.properties.desired["$version"] - 1
    assert await modules(clients, "press-1") == {"telemetry": "running"}


async def test_metrics_are_as_old_as_the_last_run(azure: Azure, clients: Clients) -> None:
    await clients.create(base())
    counting = layer(condition="tags.site='plant-1'")
    counting.metrics.queries = {"sites": "SELECT deviceId FROM devices WHERE tags.site = 'plant-1'"}
    made = await clients.create(counting)
    assert (made.system_metrics.results, made.metrics.results) == ({}, {})

    azure.clock.advance(FIRST_RUN)
    at_first = await clients.get("iris")
    azure.clock.advance(INTERVAL - 1)
    before_the_second_run = await clients.get("iris")
    azure.clock.advance(1)
    second = await clients.get("iris")

    early = {"targetedCount": 2, "appliedCount": 0, "reportedSuccessfulCount": 0, "reportedFailedCount": 0}
    assert at_first.system_metrics.results == before_the_second_run.system_metrics.results == early
    assert second.system_metrics.results == {**early, "appliedCount": 2, "reportedSuccessfulCount": 2}
    assert second.metrics.results == {"sites": 2}


async def test_queries_see_twins_a_while_later(azure: Azure, clients: Clients) -> None:
    azure.clock.advance(LAG)
    await tag(clients, "oven-1", "plant-9")
    query = "SELECT deviceId FROM devices WHERE tags.site = 'plant-9'"

    assert (await clients(clients.registry.get_twin, "oven-1")).tags == {"site": "plant-9"}
    assert await found(clients, query) == []
    azure.clock.advance(LAG)
    assert await found(clients, query) == ["oven-1"]


async def found(clients: Clients, query: str) -> list[str]:
    answer = await clients(clients.registry.query_iot_hub, QuerySpecification(query=query))
    return [item.device_id for item in answer.items]


async def test_the_queries_of_the_system_find_what_the_system_counts(azure: Azure, clients: Clients) -> None:
    await deployed(azure, clients, base(), layer(condition="tags.site='plant-1'"))
    azure.clock.advance(INTERVAL)
    read = await clients.get("iris")

    counted = {name: len(await found(clients, query)) for name, query in read.system_metrics.queries.items()}

    assert counted == read.system_metrics.results
    assert counted["reportedSuccessfulCount"] == 2


async def test_pages_follow_each_other(azure: Azure, plants: Hub, clients: Clients) -> None:
    plants.register([f"line-{number}" for number in range(7)], {"site": "line"})
    azure.clock.advance(LAG)
    query = QuerySpecification(query="SELECT deviceId FROM devices WHERE tags.site = 'line'")

    seen, token = [], None
    while True:
        page = await clients(clients.registry.query_iot_hub, query, token, 3)
        seen.append([item.device_id for item in page.items])
        token = page.continuation_token
        if not token:
            break

    assert [len(page) for page in seen] == [3, 3, 1]
    assert sorted(name for page in seen for name in page) == [f"line-{number}" for number in range(7)]
    assert page.type == "Raw"


async def test_modules_get_an_identity_and_a_twin(azure: Azure, clients: Clients) -> None:
    content = {**layer_content(), "iris": {"properties.desired.threshold": 21}}
    await deployed(azure, clients, base(), deployment("iris", content))

    known = await clients(clients.registry.get_modules, "press-1")
    twin = await clients(clients.registry.get_module_twin, "press-1", "iris")

    assert [module.module_id for module in known] == ["$edgeAgent", "$edgeHub", "iris"]
    assert twin.properties.desired["threshold"] == 21


async def test_a_layer_of_routes_leaves_the_agent_alone(azure: Azure, clients: Clients) -> None:
    await deployed(azure, clients, base())
    version = (await clients.agent("press-1")).properties.desired["$version"]
    content = {
        "$edgeAgent": {},
        "$edgeHub": {"properties.desired.routes.raw": "FROM /messages/* INTO $upstream"},
    }

    await deployed(azure, clients, deployment("routes", content))

    edge_hub = await clients(clients.registry.get_module_twin, "press-1", "$edgeHub")
    assert set(edge_hub.properties.desired["routes"]) == {"upstream", "raw"}
    assert (await clients.agent("press-1")).properties.desired["$version"] == version


async def test_clients_in_several_threads_do_not_disturb_each_other(azure: Azure, clients: Clients) -> None:
    await asyncio.gather(*(clients.create(layer(f"layer-{number}")) for number in range(8)))

    assert len(await clients(clients.configurations.get_configurations)) == 8
