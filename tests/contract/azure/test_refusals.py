"""What Azure refuses, with its status, its code and the class of exception that the SDK makes of it."""

from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.mgmt.containerinstance import models
from azure.mgmt.containerinstance.aio import ContainerInstanceManagementClient as Client
from azure_emulator import RESOURCE_GROUP, SUBSCRIPTION, begin, connected, container, delete, get, public

from berth_sandbox.azure.cloud import Azure
from berth_sandbox.azure.server import Endpoint
from berth_sandbox.azure.simulation import Behaviour, Simulation

STARTED = 20
LONG_AGO = 3600


def secret_volume(name: str, value: str = "c2VjcmV0") -> models.Volume:
    return models.Volume(name=name, secret={"key": value})


async def refused(client: Client, *containers: models.Container, **options: Any) -> HttpResponseError:
    with pytest.raises(HttpResponseError) as caught:
        await begin(client, options.pop("name", "iris"), *containers, **options)
    return caught.value


INVALID = {
    "no containers": ({"containers": []}, "ContainersNotSpecified"),
    "upper case name": ({"name": "Iris"}, "InvalidContainerGroupName"),
    "container name with underscore": ({"containers": [container("a_b")]}, "InvalidContainerName"),
    "same container twice": ({"containers": [container(), container()]}, "DuplicateContainerName"),
    "variable with a dot": (
        {"containers": [container(environment_variables=[models.EnvironmentVariable(name="a.b")])]},
        "InvalidEnvironmentVariableName",
    ),
    "no memory": ({"containers": [container(memory_in_gb=0)]}, "ResourceSomeRequestsNotSpecified"),
    "half a core": ({"containers": [container(cpu=0.5)]}, "ResourceRequestsTooSmall"),
    "limit below request": (
        {"containers": [container(limits=models.ResourceLimits(cpu=0.5))]},
        "ResourceLimitsLessThanRequests",
    ),
    "limit above the group": (
        {"containers": [container(limits=models.ResourceLimits(memory_in_gb=2))]},
        "ContainerLimitGreaterThanContainerGroupTotalRequest",
    ),
    "port of no container": ({"ip_address": public(8080)}, "PortNotExposed"),
    "short DNS label": ({"ip_address": public(label="iris")}, "InvalidDnsNameLabel"),
    "six ports": (
        {"ip_address": models.IpAddress(type="Public", ports=[models.Port(port=80)] * 6)},
        "InvalidIpAddressPorts",
    ),
    "volume with a double hyphen": ({"volumes": [secret_volume("mo--del")]}, "InvalidVolumeName"),
    "volume of no kind": ({"volumes": [models.Volume(name="model")]}, "InvalidVolume"),
    "secret that is not base64": ({"volumes": [secret_volume("model", "!")]}, "InvalidSecretVolume"),
    "mount of no volume": (
        {"containers": [container(volume_mounts=[models.VolumeMount(name="model", mount_path="/m")])]},
        "VolumeNotFound",
    ),
    "spot with an address": (
        {"priority": "Spot", "ip_address": public()},
        "SpotPriorityContainerGroupNotSupportedForInboundConnectivity",
    ),
    "spot and confidential": (
        {"priority": "Spot", "sku": "Confidential"},
        "SpotPriorityContainerGroupNotSupportedInSku",
    ),
    "spot with 8 cores": (
        {"priority": "Spot", "containers": [container(cpu=8)]},
        "ResourceRequestsTooLarge",
    ),
    "two containers on Windows": (
        {"os_type": "Windows", "containers": [container("a"), container("b")]},
        "MultipleContainersNotSupported",
    ),
    "unknown region": ({"location": "atlantis"}, "LocationNotAvailableForResourceType"),
}


@pytest.mark.parametrize(("options", "code"), INVALID.values(), ids=INVALID)
async def test_a_bad_group_is_refused(client: Client, options: dict[str, Any], code: str) -> None:
    error = await refused(client, **options)

    assert (error.status_code, error.error.code) == (400, code)
    with pytest.raises(ResourceNotFoundError):
        await get(client)


IMMUTABLE = {
    "restart policy": {"restart_policy": "Never"},
    "cpu": {"containers": [container(cpu=2)]},
    "memory": {"containers": [container(memory_in_gb=2)]},
    "another container": {"containers": [container(), container("sidecar")]},
    "ports": {"ip_address": public(443), "containers": [container(ports=[models.ContainerPort(port=443)])]},
    "os type": {"os_type": "Windows"},
    "sku": {"sku": "Dedicated"},
    "subnets": {"subnet_ids": [models.ContainerGroupSubnetId(id="/subscriptions/s/x")]},
    "zones": {"zones": ["1"]},
}


@pytest.mark.parametrize("change", IMMUTABLE.values(), ids=IMMUTABLE)
async def test_some_changes_need_a_new_group(azure: Azure, client: Client, change: dict[str, Any]) -> None:
    await begin(client)
    azure.clock.advance(STARTED)

    error = await refused(client, **change)

    assert (error.status_code, error.error.code) == (400, "InvalidContainerGroupUpdate")
    assert (await get(client)).instance_view.state == "Running"


MUTABLE = {
    "image": {"containers": [container(image="scoring:2")]},
    "command": {"containers": [container(command=["serve"])]},
    "environment": {
        "containers": [container(environment_variables=[models.EnvironmentVariable(name="A", value="1")])]
    },
    "secret volume": {"volumes": [secret_volume("model", "bmV3")]},
    "tags": {"tags": {"hash": "2"}},
}


@pytest.mark.parametrize("change", MUTABLE.values(), ids=MUTABLE)
async def test_other_changes_are_made_in_place(azure: Azure, client: Client, change: dict[str, Any]) -> None:
    await begin(client)
    azure.clock.advance(STARTED)

    await begin(client, **change)

    azure.clock.advance(STARTED)
    assert (await get(client)).provisioning_state == "Succeeded"


async def test_another_region_is_another_resource(azure: Azure, client: Client) -> None:
    await begin(client)
    azure.clock.advance(STARTED)

    error = await refused(client, location="westus")

    assert isinstance(error, ResourceExistsError)
    assert error.error.code == "InvalidResourceLocation"


async def test_a_group_that_ended_takes_no_update(
    azure: Azure, simulation: Simulation, client: Client
) -> None:
    simulation.behaviours["scoring:1"] = Behaviour(run_seconds=1)
    await begin(client, restart_policy="Never")
    azure.clock.advance(60)

    assert (await refused(client, restart_policy="Never")).error.code == "InvalidContainerGroupUpdate"


async def test_a_group_in_transition_takes_no_further_write(azure: Azure, client: Client) -> None:
    await begin(client)

    assert (await refused(client)).error.code == "ContainerGroupTransitioning"
    for write in (client.container_groups.stop, client.container_groups.begin_restart):
        with pytest.raises(ResourceExistsError) as caught:
            await write(RESOURCE_GROUP, "iris")
        assert caught.value.error.code == "ContainerGroupTransitioning"
    azure.clock.advance(STARTED)
    await client.container_groups.stop(RESOURCE_GROUP, "iris")
    assert (await refused(client)).error.code == "ContainerGroupTransitioning"
    azure.clock.advance(10)
    await begin(client)


async def test_the_quota_of_groups_counts_those_that_are_there(azure: Azure, client: Client) -> None:
    azure.service.subscription(SUBSCRIPTION).quotas["ContainerGroups"] = 2
    await begin(client, "iris-1")
    await begin(client, "iris-2")
    await begin(client, "elsewhere", location="westus")

    error = await refused(client, name="iris-3")

    assert (error.status_code, error.error.code) == (400, "ContainerGroupQuotaReached")
    assert "Limit: '2', Usage: '2' Requested: '1'" in error.error.message
    usages = {usage.name.value: usage async for usage in client.location.list_usage("eastus")}
    assert (usages["ContainerGroups"].current_value, usages["ContainerGroups"].limit) == (2, 2)
    await delete(client, "iris-1")
    await begin(client, "iris-3")


async def test_the_quota_of_cores_counts_each_kind_by_itself(azure: Azure, client: Client) -> None:
    azure.service.subscription(SUBSCRIPTION).quotas |= {"StandardCores": 4, "StandardSpotCores": 1}
    await begin(client, "large", container(cpu=3.5))
    await begin(client, "spot", priority="Spot")

    assert "'StandardCores'" in (await refused(client)).error.message
    assert "'StandardSpotCores'" in (await refused(client, priority="Spot")).error.message


async def test_a_group_that_is_too_large_for_the_region_finds_no_capacity(client: Client) -> None:
    error = await refused(client, container(cpu=32))

    assert (error.status_code, error.error.code) == (409, "ServiceUnavailable")


async def test_a_gpu_is_nowhere_to_be_had(client: Client) -> None:
    asked = container()
    asked.resources.requests.gpu = models.GpuResource(count=1, sku="K80")

    assert (await refused(client, asked)).error.code == "ServiceUnavailable"


async def test_one_name_in_two_regions_at_once_is_suspicious(azure: Azure, client: Client) -> None:
    await begin(client, resource_group="other", location="westus")

    error = await refused(client)

    assert error.error.code == "ServiceUnavailable"
    assert "Limit: '0'" in error.error.message
    azure.clock.advance(STARTED)
    await client.container_groups.get("other", "iris")
    await begin(client)


async def test_a_dns_label_is_taken_once_in_a_region(client: Client) -> None:
    await begin(client, "first", ip_address=public(label="iris-demo"))

    error = await refused(client, name="second", ip_address=public(label="iris-demo"))

    assert (error.status_code, error.error.code) == (400, "DnsNameLabelNotAvailable")
    await begin(client, "second", ip_address=public(label="iris-demo"), location="westus")
    await delete(client, "first")
    await begin(client, "third", ip_address=public(label="iris-demo"))


async def test_an_image_that_cannot_be_seen_is_refused(simulation: Simulation, client: Client) -> None:
    simulation.behaviours["scoring:1"] = Behaviour(accessible=False)

    error = await refused(client)

    assert (error.status_code, error.error.code) == (400, "InaccessibleImage")
    assert "scoring:1" in error.error.message


async def test_an_image_that_cannot_be_pulled_times_out(
    azure: Azure, simulation: Simulation, client: Client
) -> None:
    simulation.behaviours["scoring:1"] = Behaviour(pull_error="manifest unknown")
    await begin(client)
    azure.clock.advance(60)

    pulling = await get(client)

    assert pulling.provisioning_state == "Creating"
    view = pulling.containers[0].instance_view
    assert "manifest unknown" in view.current_state.detail_status
    assert [event.name for event in view.events] == ["Pulling", "Failed", "BackOff"]
    azure.clock.advance(LONG_AGO)
    assert (await get(client)).provisioning_state == "Failed"


async def test_the_resource_group_and_the_subscription_have_to_be_there(
    client: Client, endpoint: Endpoint
) -> None:
    with pytest.raises(ResourceNotFoundError) as caught:
        await begin(client, resource_group="missing")
    assert caught.value.error.code == "ResourceGroupNotFound"

    async with connected(endpoint, "11111111-0000-4000-8000-000000000000") as stranger:
        with pytest.raises(ResourceNotFoundError) as caught:
            await begin(stranger)
    assert caught.value.error.code == "SubscriptionNotFound"


async def test_a_disabled_subscription_can_only_be_read(azure: Azure, client: Client) -> None:
    await begin(client)
    azure.service.subscription(SUBSCRIPTION).enabled = False

    assert (await refused(client, name="second")).error.code == "ReadOnlyDisabledSubscription"
    assert (await get(client)).name == "iris"
    azure.service.subscription(SUBSCRIPTION).enabled = True
    await begin(client, "second")
