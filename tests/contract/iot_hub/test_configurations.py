"""Deployments as Microsoft's own client creates, reads, changes and deletes them."""

from collections.abc import Awaitable
from typing import Any

import pytest
from azure.iot.hub.models import (
    Configuration,
    ConfigurationContent,
    ConfigurationQueriesTestInput,
)
from iot_hub_emulator import Clients, base, base_content, deployment, layer, layer_content
from msrest.exceptions import HttpOperationError

from berth_sandbox.azure.cloud import Azure
from berth_sandbox.azure.iot_hub.hub import Hub


async def refused(call: Awaitable[Any]) -> tuple[int, str]:
    """Return the status and the name of the error that a call ends in."""
    with pytest.raises(HttpOperationError) as caught:
        await call
    response = caught.value.response
    code = response.headers["iothub-errorcode"]
    assert response.json()["Message"].startswith(f"ErrorCode:{code};")
    return response.status_code, code


async def test_a_deployment_comes_back_as_it_was_put(clients: Clients) -> None:
    wanted = layer("iris", "tags.site='plant-1'", 20)
    wanted.labels = {"berth.dev-uid": "1"}
    wanted.metrics.queries = {"running": "SELECT deviceId FROM devices WHERE tags.site = 'plant-1'"}

    made = await clients.create(wanted)
    read = await clients.get("iris")

    assert made.as_dict() == read.as_dict()
    assert (read.priority, read.target_condition, read.labels) == (20, "tags.site='plant-1'", wanted.labels)
    assert read.content.modules_content == wanted.content.modules_content
    assert read.metrics.queries == wanted.metrics.queries
    assert read.etag == "MQ=="


async def test_the_etag_of_the_header_is_quoted_and_that_of_the_body_is_not(
    azure: Azure, clients: Clients
) -> None:
    await clients.create(layer())

    put = azure.requests.of("Configuration_CreateOrUpdate")[0]

    assert put.response_headers["ETag"] == '"MQ=="'
    assert put.response_body["etag"] == "MQ=="


async def test_everything_but_the_content_can_change(clients: Clients) -> None:
    made = await clients.create(layer(priority=10))
    made.priority, made.target_condition, made.labels = 11, "tags.site='plant-2'", {"owner": "berth"}

    changed = await clients.update(made, made.etag)

    assert (changed.priority, changed.etag) == (11, "Mg==")
    assert (await clients.get("iris")).target_condition == "tags.site='plant-2'"
    changed.content.modules_content = layer_content("iris", "registry.example/scoring@sha256:2")
    assert await refused(clients.update(changed, changed.etag)) == (400, "InvalidConfigurationContent")
    assert (await clients.get("iris")).etag == "Mg=="


async def test_an_unquoted_etag_counts_as_none(clients: Clients) -> None:
    made = await clients.create(layer())

    update = clients(clients.configurations.update_configuration, made, made.etag)

    assert await refused(update) == (409, "ConfigurationAlreadyExists")


async def test_a_stale_etag_changes_and_deletes_nothing(clients: Clients) -> None:
    made = await clients.create(layer())
    await clients.update(made, made.etag)

    assert await refused(clients.update(made, made.etag)) == (412, "PreconditionFailed")
    assert await refused(clients.delete("iris", made.etag)) == (412, "PreconditionFailed")
    assert (await clients.get("iris")).etag == "Mg=="


async def test_a_second_creation_conflicts_and_changes_nothing(clients: Clients) -> None:
    await clients.create(layer(priority=10))

    assert await refused(clients.create(layer(priority=99))) == (409, "ConfigurationAlreadyExists")
    assert (await clients.get("iris")).priority == 10


async def test_what_is_deleted_is_gone(clients: Clients) -> None:
    made = await clients.create(layer())

    await clients.delete("iris", made.etag)

    assert await refused(clients.get("iris")) == (404, "ConfigurationNotFound")
    assert await refused(clients.delete("iris")) == (404, "ConfigurationNotFound")
    assert await refused(clients.update(made, made.etag)) == (404, "ConfigurationNotFound")


async def test_a_list_holds_all_or_as_many_as_are_asked_for(clients: Clients) -> None:
    for name in ("iris", "digits", "wine"):
        await clients.create(layer(name))

    assert [one.id for one in await clients(clients.configurations.get_configurations)] == [
        "digits",
        "iris",
        "wine",
    ]
    assert len(await clients(clients.configurations.get_configurations, 2)) == 2


MODULES = {f"module-{number}": {"image": "a"} for number in range(51)}
LARGE = layer_content(env={"TEXT": {"value": "x" * 33_000}})


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"telemetry": {"properties.desired": {}}},
        {"$edgeAgent": {"modules.iris": {}}},
        {"$edgeAgent": {"properties.desired": 1}},
        {"$edgeAgent": {"properties.desired": {"modules": MODULES}}},
        LARGE,
    ],
    ids=["nothing", "no agent", "no desired properties", "a number", "51 modules", "32 KB"],
)
async def test_content_that_no_hub_takes(clients: Clients, content: dict[str, Any]) -> None:
    assert await refused(clients.create(deployment("iris", content))) == (400, "InvalidConfigurationContent")


async def test_fifty_modules_are_allowed(clients: Clients) -> None:
    small = {name: {"image": "a"} for name in list(MODULES)[:50]}

    made = await clients.create(
        deployment("iris", {"$edgeAgent": {"properties.desired": {"modules": small}}})
    )

    assert len(made.content.modules_content["$edgeAgent"]["properties.desired"]["modules"]) == 50


@pytest.mark.parametrize("name", ["Iris", "a b", "a/b", "a\\b", "a[b]", "x" * 129])
async def test_ids_that_no_hub_takes(azure: Azure, clients: Clients, name: str) -> None:
    assert await refused(clients.create(layer(name))) == (400, "ArgumentInvalid")


@pytest.mark.parametrize(
    "changes",
    [
        {"priority": -1},
        {"labels": {"berth.dev/uid": "1"}},
        {"labels": {"uid": "a b"}},
        {"metrics": {f"m{number}": "SELECT * FROM devices" for number in range(6)}},
        {"metrics": {"broken": "SELECT * FROM"}},
    ],
    ids=["priority", "label key", "label value", "six metrics", "metric"],
)
async def test_fields_that_no_hub_takes(clients: Clients, changes: dict[str, Any]) -> None:
    wanted = layer(priority=changes.get("priority", 10))
    wanted.labels = changes.get("labels")
    wanted.metrics.queries = changes.get("metrics", {})

    assert await refused(clients.create(wanted)) == (400, "ArgumentInvalid")


CONDITIONS = {
    "tags.site = 'plant-1": "InvalidConfigurationTargetCondition",
    "tags.site = plant": "InvalidConfigurationTargetCondition",
    "properties.desired.a = 1": "InvalidConfigurationTargetCondition",
    "tags.site = 'a' OR": "InvalidConfigurationTargetCondition",
    "tags.site = 'a'; DROP": "InvalidConfigurationTargetCondition",
    "tags.site IN ['plant-1', 'plant-2']": "InvalidConfigurationTargetCondition",
    'tags.site = "plant-1"': "ArgumentInvalid",
}


@pytest.mark.parametrize(("condition", "code"), CONDITIONS.items())
async def test_conditions_that_no_hub_takes(
    azure: Azure, clients: Clients, condition: str, code: str
) -> None:
    assert await refused(clients.create(layer(condition=condition))) == (400, code)
    assert await refused(clients.get("iris")) == (404, "ConfigurationNotFound")


async def test_queries_are_tested_without_a_trace(plants: Hub, clients: Clients) -> None:
    asked = ConfigurationQueriesTestInput(
        target_condition="tags.site = 'plant-1",
        custom_metric_queries={"good": "SELECT deviceId FROM devices", "bad": "SELECT deviceId"},
    )

    told = await clients(clients.configurations.test_configuration_queries, asked)

    assert "column" in told.target_condition_error
    assert set(told.custom_metric_query_errors) == {"bad"}
    assert not plants.fleet.deployments


async def test_the_test_of_queries_takes_what_a_deployment_may_not_have(clients: Clients) -> None:
    asked = ConfigurationQueriesTestInput(target_condition="tags.site IN ['a', 'b']")

    told = await clients(clients.configurations.test_configuration_queries, asked)

    assert told.target_condition_error is None


async def test_the_hundred_and_first_deployment_is_refused(clients: Clients) -> None:
    for number in range(100):
        await clients.create(layer(f"iris-{number}", "deviceId='nobody'"))

    assert await refused(clients.create(layer("one-more"))) == (413, "ConfigurationCountLimitExceeded")
    await clients.delete("iris-0")
    await clients.create(layer("one-more"))


async def test_a_single_device_is_told_directly_or_by_deployments_but_not_by_both(
    azure: Azure, clients: Clients
) -> None:
    content = ConfigurationContent(modules_content=base_content())
    apply = clients.configurations.apply_configuration_on_edge_device

    await clients(apply, "press-1", content)
    azure.clock.advance(60)

    assert (await clients.agent("press-1")).properties.reported["lastDesiredStatus"]["code"] == 200
    assert (await clients.agent("press-2")).properties.reported["lastDesiredStatus"]["code"] == 417
    await clients.create(base())
    azure.clock.advance(10)
    assert await refused(clients(apply, "press-2", content)) == (400, "ArgumentInvalid")


async def test_a_configuration_of_device_twins_reaches_no_agent(azure: Azure, clients: Clients) -> None:
    content = ConfigurationContent(device_content={"properties.desired.interval": 5})
    await clients.create(Configuration(id="intervals", content=content, target_condition="*", priority=1))
    azure.clock.advance(10)

    read = await clients.get("intervals")

    assert set(read.system_metrics.queries) == {"targetedCount", "appliedCount"}
    assert read.system_metrics.results == {"targetedCount": 3, "appliedCount": 3}
    assert (await clients.agent("press-1")).properties.desired["$version"] == 1
