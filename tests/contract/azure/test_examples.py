"""Every official example through the real SDK, and the answers compared with the official ones."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import azure_specs
import pytest
from azure.mgmt.containerinstance import models
from azure.mgmt.containerinstance.aio import ContainerInstanceManagementClient as Client
from azure_emulator import configured, connected
from azure_judge import Record
from azure_specs import Example

from berth_sandbox.azure.cloud import Azure
from berth_sandbox.azure.names import GroupId
from berth_sandbox.azure.regions import REGIONS, Capability
from berth_sandbox.azure.server import Endpoint
from berth_sandbox.azure.simulation import Behaviour, Simulation

K80 = Capability("Linux", "Public", "K80", 4, 14, 4)
NAMES = [path.stem for path in sorted(azure_specs.DESCRIPTIONS.glob("examples/*.json"))] or ["none"]
Run = Callable[[Client, Example], Awaitable[object]]


async def groups(listed: Any) -> list[models.ContainerGroup]:
    return [entry async for entry in listed]


async def put(client: Client, example: Example) -> object:
    described = models.ContainerGroup.deserialize(example.body)
    described.zones = example.parameters.get("zones")
    poller = await client.container_groups.begin_create_or_update("demo", "demo1", described)
    return await poller.result()


async def execute(client: Client, example: Example) -> object:
    asked = models.ContainerExecRequest.deserialize(example.parameters["containerExecRequest"])
    return await client.containers.execute_command("demo", "demo1", "container1", asked)


async def update(client: Client, example: Example) -> object:
    patch = models.Resource.deserialize(example.parameters["Resource"])
    return await client.container_groups.update("demoResource", "demo1", patch)


async def delete(client: Client, _: Example) -> object:
    return await (await client.container_groups.begin_delete("demo", "demo1")).result()


async def delete_link(client: Client, example: Example) -> object:
    network, subnet = example.parameters["virtualNetworkName"], example.parameters["subnetName"]
    return await (await client.subnet_service_association_link.begin_delete("demo", network, subnet)).result()


async def restart(client: Client, _: Example) -> object:
    return await (await client.container_groups.begin_restart("demo", "demo1")).result()


async def start(client: Client, _: Example) -> object:
    await client.container_groups.stop("demo", "demo1")
    await asyncio.sleep(0.05)  # 50 seconds there: the group is in transition for a while
    return await (await client.container_groups.begin_start("demo", "demo1")).result()


def location(example: Example) -> str:
    return str(example.parameters["location"])


RUNS: dict[str, Run] = {
    "CachedImagesList": lambda c, e: groups(c.location.list_cached_images(location(e))),
    "CapabilitiesList": lambda c, e: groups(c.location.list_capabilities(location(e))),
    "ContainerAttach": lambda c, _: c.containers.attach("demo", "demo1", "container1"),
    "ContainerExec": execute,
    "ContainerGroupCreateConfidential": put,
    "ContainerGroupEncryptionProperties": put,
    "ContainerGroupExtensions": put,
    "ContainerGroupUsage": lambda c, e: groups(c.location.list_usage(location(e))),
    "ContainerGroupsCreateOrUpdate": put,
    "ContainerGroupsCreatePriority": put,
    "ContainerGroupsDelete": delete,
    "ContainerGroupsGetPriority": lambda c, _: c.container_groups.get("demo", "demo1"),
    "ContainerGroupsGet_Failed": lambda c, _: c.container_groups.get("demo", "demo1"),
    "ContainerGroupsGet_Succeeded": lambda c, _: c.container_groups.get("demo", "demo1"),
    "ContainerGroupsList": lambda c, _: groups(c.container_groups.list()),
    "ContainerGroupsListByResourceGroup": lambda c, _: groups(
        c.container_groups.list_by_resource_group("demo")
    ),
    "ContainerGroupsRestart": restart,
    "ContainerGroupsStart": start,
    "ContainerGroupsStop": lambda c, _: c.container_groups.stop("demo", "demo1"),
    "ContainerGroupsUpdate": update,
    "ContainerListLogs": lambda c, e: c.containers.list_logs(
        "demo", "demo1", "container1", tail=e.parameters["tail"]
    ),
    "OperationsList": lambda c, _: groups(c.operations.list()),
    "SubnetServiceAssociationLinkDelete": delete_link,
}
WITH_A_GROUP = {"ContainerGroupsList", "ContainerGroupsListByResourceGroup"}
OPERATIONS = {
    "CachedImagesList": "Location_ListCachedImages",
    "CapabilitiesList": "Location_ListCapabilities",
    "ContainerAttach": "Containers_Attach",
    "ContainerExec": "Containers_ExecuteCommand",
    "ContainerGroupUsage": "Location_ListUsage",
    "ContainerGroupsDelete": "ContainerGroups_Delete",
    "ContainerGroupsList": "ContainerGroups_List",
    "ContainerGroupsListByResourceGroup": "ContainerGroups_ListByResourceGroup",
    "ContainerGroupsRestart": "ContainerGroups_Restart",
    "ContainerGroupsStart": "ContainerGroups_Start",
    "ContainerGroupsStop": "ContainerGroups_Stop",
    "ContainerGroupsUpdate": "ContainerGroups_Update",
    "ContainerListLogs": "Containers_ListLogs",
    "OperationsList": "Operations_List",
    "SubnetServiceAssociationLinkDelete": "SubnetServiceAssociationLink_Delete",
}
# The recording of the service shows no instance view in a list.
NOT_IN_LISTS = ".value[].properties.containers[].properties.instanceView"


def existing(example: Example) -> dict[str, Any]:
    """Return the group that an example is about, as someone put it before."""
    answer = next((body for body in example.answers.values() if body), {})
    shown = answer.get("value", [answer])[0]
    properties = shown.get("properties", {})
    if "containers" not in properties:
        properties = {"containers": [scoring("container1")], "osType": "Linux"}
    return {
        **{name: shown[name] for name in ("tags", "zones") if name in shown},
        "location": shown.get("location", "westus"),
        "properties": properties,
    }


def scoring(name: str) -> dict[str, Any]:
    resources = {"requests": {"cpu": 1, "memoryInGB": 1}}
    return {"name": name, "properties": {"image": "scoring:1", "resources": resources}}


@pytest.fixture
def simulation() -> Simulation:
    simulation = Simulation(otherwise=Behaviour(log=("log content",)))
    simulation.behaviours["alpine:latest"] = Behaviour(run_seconds=10)
    return simulation


@pytest.fixture
def azure(simulation: Simulation) -> Azure:
    """An Azure that still has the GPUs of the examples."""
    azure = Azure(backing=simulation, requests=Record())
    regions = [replace(region, capabilities=(*region.capabilities, K80)) for region in REGIONS]
    azure.service.regions = {region.name: region for region in regions}
    azure.clock.run_at(1000)
    return configured(azure)


@pytest.fixture(params=NAMES)
def example(request: pytest.FixtureRequest, official_examples: dict[str, Example]) -> Example:
    return official_examples[request.param]


async def prepare(azure: Azure, simulation: Simulation, example: Example) -> None:
    """Let the group of the example be there, as long as the example does not put it itself."""
    if example.body or not ("containerGroupName" in example.parameters or example.name in WITH_A_GROUP):
        return
    if example.name == "ContainerGroupsGet_Failed":
        simulation.behaviours["nginx"] = Behaviour(mount_error="mount error(2): Permission denied")
    group = GroupId("subid", example.parameters.get("resourceGroupName", "demo"), "demo1")
    await azure.service.create_or_update(group, existing(example))
    azure.clock.advance(60)


def test_every_example_is_run(official_examples: dict[str, Example]) -> None:
    assert set(official_examples) == set(RUNS)


async def test_an_example_is_answered_like_the_official_one(
    azure: Azure, simulation: Simulation, endpoint: Endpoint, example: Example
) -> None:
    await prepare(azure, simulation, example)
    async with connected(endpoint, "subid") as client:
        await RUNS[example.name](client, example)

    answered = azure.requests.of(operation(example))[0]
    assert answered.status in example.answers
    missing = paths(example.answers[answered.status]) - paths(answered.response_body)
    assert {path for path in missing if not path.startswith(NOT_IN_LISTS)} == set()


def operation(example: Example) -> str:
    if example.body:
        return "ContainerGroups_CreateOrUpdate"
    return OPERATIONS.get(example.name, "ContainerGroups_Get")


def paths(value: Any, path: str = "") -> set[str]:
    """Name every place in a JSON value, and the kind of value that is there."""
    if isinstance(value, dict):
        below = [paths(item, f"{path}.{name}") for name, item in value.items()]
        return {path}.union(*below)
    if isinstance(value, list):
        return {f"{path}[]"}.union(*(paths(item, f"{path}[]") for item in value))
    return {f"{path}: {'number' if isinstance(value, int | float) else type(value).__name__}"}
