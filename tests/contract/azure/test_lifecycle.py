"""The life of a container group, as the real SDK sees it."""

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.mgmt.containerinstance import models
from azure.mgmt.containerinstance.aio import ContainerInstanceManagementClient as Client
from azure_emulator import (
    RESOURCE_GROUP,
    SUBSCRIPTION,
    begin,
    configured,
    connected,
    container,
    delete,
    get,
    group,
    public,
)
from azure_judge import Record

from berth_sandbox.azure.clock import Clock
from berth_sandbox.azure.cloud import Azure
from berth_sandbox.azure.server import Endpoint
from berth_sandbox.azure.simulation import Behaviour, Simulation

IDENTITIES = "Microsoft.ManagedIdentity/userAssignedIdentities"
STARTED = 20  # seconds after which a container of the default behaviour runs


async def test_a_group_goes_from_pending_over_creating_to_running(azure: Azure, client: Client) -> None:
    asked = await begin(client, ip_address=public(label="iris-demo"))

    assert (asked.provisioning_state, asked.instance_view.state) == ("Pending", "Pending")
    assert asked.containers[0].instance_view is None
    azure.clock.advance(5)
    assert (await get(client)).provisioning_state == "Creating"
    azure.clock.advance(STARTED)
    running = await get(client)
    assert (running.provisioning_state, running.instance_view.state) == ("Succeeded", "Running")
    view = running.containers[0].instance_view
    assert view.current_state.state == "Running"
    assert [event.name for event in view.events] == ["Pulling", "Pulled", "Started"]
    assert running.ip_address.fqdn == "iris-demo.eastus.azurecontainer.io"
    assert running.ip_address.ip.startswith("198.18.")


async def test_the_poller_of_the_sdk_ends_with_the_running_group(azure: Azure, client: Client) -> None:
    azure.clock.run_at(1000)
    poller = await client.container_groups.begin_create_or_update(RESOURCE_GROUP, "iris", group())

    created = await poller.result()

    assert created.provisioning_state == "Succeeded"
    assert azure.requests.of("Operation_Get")


async def test_a_poller_goes_on_in_another_client(azure: Azure, client: Client, endpoint: Endpoint) -> None:
    poller = await client.container_groups.begin_create_or_update(
        RESOURCE_GROUP, "iris", group(), polling_interval=60
    )
    token = poller.continuation_token()
    azure.clock.advance(STARTED)

    async with connected(endpoint) as other:
        resumed = await other.container_groups.begin_create_or_update(
            RESOURCE_GROUP, "iris", group(), continuation_token=token
        )
        created = await resumed.result()

    assert created.provisioning_state == "Succeeded"
    assert len(azure.requests.of("ContainerGroups_CreateOrUpdate")) == 1


async def test_a_list_has_no_instance_views(azure: Azure, client: Client) -> None:
    await begin(client)
    azure.clock.advance(STARTED)

    by_group = [entry async for entry in client.container_groups.list_by_resource_group(RESOURCE_GROUP)]
    everywhere = [entry async for entry in client.container_groups.list()]

    assert [entry.name for entry in by_group] == [entry.name for entry in everywhere] == ["iris"]
    assert by_group[0].provisioning_state == "Succeeded"
    assert by_group[0].instance_view is None
    assert by_group[0].containers[0].instance_view is None


class TestPages:
    @pytest.fixture
    def azure(self, simulation: Simulation) -> Azure:
        return configured(Azure(backing=simulation, clock=Clock(factor=0), page_size=2, requests=Record()))

    async def test_a_long_list_comes_in_pages(self, azure: Azure, client: Client) -> None:
        for number in range(5):
            await begin(client, f"iris-{number}")

        groups = client.container_groups.list_by_resource_group(RESOURCE_GROUP)

        assert [entry.name async for entry in groups] == [f"iris-{number}" for number in range(5)]
        assert len(azure.requests.of("ContainerGroups_ListByResourceGroup")) == 3


async def test_names_are_the_same_in_any_case(azure: Azure, client: Client) -> None:
    await begin(client)

    found = await client.container_groups.get(RESOURCE_GROUP.upper(), "IRIS")

    assert found.name == "iris"
    azure.clock.advance(STARTED)
    await client.container_groups.begin_create_or_update(
        RESOURCE_GROUP.upper(), "IRIS", group(), polling=False
    )
    assert len(azure.service.group_ids()) == 1
    assert azure.requests.of("ContainerGroups_CreateOrUpdate")[-1].status == 200


async def test_secrets_go_in_and_do_not_come_out(azure: Azure, client: Client) -> None:
    secret = "c2VjcmV0"
    options = {
        "image_registry_credentials": [
            models.ImageRegistryCredential(server="r.example", username="u", password=secret)
        ],
        "diagnostics": models.ContainerGroupDiagnostics(
            log_analytics=models.LogAnalytics(workspace_id="w", workspace_key=secret)
        ),
        "volumes": [
            models.Volume(name="secrets", secret={"key": secret}),
            models.Volume(
                name="share",
                azure_file=models.AzureFileVolume(
                    share_name="s", storage_account_name="a", storage_account_key=secret
                ),
            ),
        ],
    }
    variables = [
        models.EnvironmentVariable(name="KEY", secure_value=secret),
        models.EnvironmentVariable(name="MODE", value="fast"),
    ]
    asked = await begin(client, "iris", container(environment_variables=variables), **options)
    azure.clock.advance(STARTED)
    shown = [asked, await get(client), *[entry async for entry in client.container_groups.list()]]

    for view in shown:
        assert secret not in str(view.serialize(keep_readonly=True))
        assert [variable.name for variable in view.containers[0].environment_variables] == ["KEY", "MODE"]
        assert view.containers[0].environment_variables[1].value == "fast"
        assert view.volumes[0].secret == {}
        assert view.image_registry_credentials[0].username == "u"


async def test_tags_change_without_a_restart(azure: Azure, client: Client) -> None:
    await begin(client, tags={"owner": "a", "hash": "1"})
    azure.clock.advance(STARTED)
    before = await get(client)

    patched = await client.container_groups.update(
        RESOURCE_GROUP, "iris", models.Resource(tags={"owner": "b"})
    )

    assert patched.tags == {"owner": "b"}
    after = await get(client)
    assert after.tags == {"owner": "b"}
    assert (
        after.containers[0].instance_view.current_state.start_time
        == before.containers[0].instance_view.current_state.start_time
    )


async def test_an_unchanged_put_restarts_the_containers(azure: Azure, client: Client) -> None:
    await begin(client)
    azure.clock.advance(STARTED)
    before = (await get(client)).containers[0].instance_view
    azure.clock.advance(60)

    again = await begin(client)

    assert again.provisioning_state == "Pending"
    azure.clock.advance(STARTED)
    after = (await get(client)).containers[0].instance_view
    assert after.current_state.start_time > before.current_state.start_time
    assert after.restart_count == before.restart_count + 1


async def test_a_group_stops_and_starts(azure: Azure, client: Client) -> None:
    azure.clock.run_at(1000)
    await (await client.container_groups.begin_create_or_update(RESOURCE_GROUP, "iris", group())).result()
    azure.clock.advance(60)

    await client.container_groups.stop(RESOURCE_GROUP, "iris")

    stopped = await get(client)
    assert stopped.instance_view.state == "Stopped"
    assert stopped.containers[0].instance_view.current_state.state == "Terminated"
    azure.clock.advance(60)
    await (await client.container_groups.begin_start(RESOURCE_GROUP, "iris")).result()
    assert (await get(client)).instance_view.state == "Running"
    assert azure.requests.of("ContainerGroups_Start")[0].status == 202


async def test_to_start_a_running_group_is_no_work(azure: Azure, client: Client) -> None:
    await begin(client)
    azure.clock.advance(STARTED)

    await (await client.container_groups.begin_start(RESOURCE_GROUP, "iris")).result()

    assert azure.requests.of("ContainerGroups_Start")[0].status == 204


async def test_a_restart_starts_the_containers_anew(azure: Azure, client: Client) -> None:
    await begin(client)
    azure.clock.advance(STARTED)

    await (await client.container_groups.begin_restart(RESOURCE_GROUP, "iris")).result()

    assert (await get(client)).instance_view.state == "Pending"
    azure.clock.advance(STARTED)
    assert (await get(client)).containers[0].instance_view.restart_count == 1


async def test_a_deleted_group_is_returned_once_more_and_gone(azure: Azure, client: Client) -> None:
    await begin(client)
    azure.clock.advance(STARTED)

    poller = await client.container_groups.begin_delete(RESOURCE_GROUP, "iris")

    assert (await poller.result()).name == "iris"
    with pytest.raises(ResourceNotFoundError) as caught:
        await get(client)
    assert caught.value.error.code == "ResourceNotFound"
    assert await (await client.container_groups.begin_delete(RESOURCE_GROUP, "iris")).result() is None
    assert [exchange.status for exchange in azure.requests.of("ContainerGroups_Delete")] == [200, 204]
    assert azure.service.group_ids() == []


async def test_logs_are_there_once_the_container_has_started(
    azure: Azure, simulation: Simulation, client: Client
) -> None:
    simulation.behaviours["scoring:1"] = Behaviour(log=("ready", "listening"))
    await begin(client)
    with pytest.raises(HttpResponseError) as caught:
        await client.containers.list_logs(RESOURCE_GROUP, "iris", "scoring")
    assert (caught.value.status_code, caught.value.error.code) == (400, "ContainerLogNotAvailable")
    azure.clock.advance(STARTED)

    logs = await client.containers.list_logs(RESOURCE_GROUP, "iris", "scoring")
    last = await client.containers.list_logs(RESOURCE_GROUP, "iris", "scoring", tail=1, timestamps=True)

    assert logs.content == "ready\nlistening\n"
    assert last.content.endswith("Z listening\n")
    assert last.content.count("\n") == 1


async def test_a_crash_shows_in_a_get_only(azure: Azure, simulation: Simulation, client: Client) -> None:
    simulation.behaviours["scoring:1"] = Behaviour(run_seconds=2, exit_code=137, log=("Killed",))
    await begin(client)
    azure.clock.advance(STARTED)

    crashed = (await get(client)).containers[0].instance_view

    assert crashed.current_state.state == "Waiting"
    assert crashed.previous_state.exit_code == 137
    assert crashed.events[-1].name == "BackOff"
    listed = [entry async for entry in client.container_groups.list_by_resource_group(RESOURCE_GROUP)]
    assert listed[0].provisioning_state == "Succeeded"


@pytest.mark.parametrize(
    ("exit_code", "state"), [(0, "Succeeded"), (3, "Failed")], ids=["succeeded", "failed"]
)
async def test_a_group_that_never_restarts_ends(
    azure: Azure, simulation: Simulation, client: Client, exit_code: int, state: str
) -> None:
    simulation.behaviours["scoring:1"] = Behaviour(run_seconds=2, exit_code=exit_code)
    await begin(client, restart_policy="Never")
    azure.clock.advance(STARTED)

    ended = await get(client)

    assert (ended.provisioning_state, ended.instance_view.state) == ("Succeeded", state)
    assert ended.containers[0].instance_view.current_state.exit_code == exit_code


async def test_containers_wait_for_the_init_containers(
    azure: Azure, simulation: Simulation, client: Client
) -> None:
    simulation.behaviours["fetch:1"] = Behaviour(run_seconds=30, log=("fetching",))
    fetch = models.InitContainerDefinition(name="fetch", image="fetch:1")
    await begin(client, init_containers=[fetch])
    azure.clock.advance(40)

    fetching = await get(client)
    assert fetching.init_containers[0].instance_view.current_state.state == "Running"
    assert fetching.instance_view.state == "Pending"
    azure.clock.advance(40)
    done = await get(client)
    assert done.init_containers[0].instance_view.current_state.exit_code == 0
    assert done.instance_view.state == "Running"


async def test_an_identity_is_made_up_and_stays(azure: Azure, client: Client) -> None:
    user = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/g/providers/{IDENTITIES}/u"
    identity = models.ContainerGroupIdentity(
        type="SystemAssigned, UserAssigned", user_assigned_identities={user: models.UserAssignedIdentities()}
    )

    asked = await begin(client, identity=identity)

    shown = await get(client)
    assert asked.identity.principal_id == shown.identity.principal_id
    assert shown.identity.user_assigned_identities[user].client_id


async def test_deleting_and_creating_gives_another_address(client: Client) -> None:
    first = await begin(client, ip_address=public())
    await delete(client)
    second = await begin(client, ip_address=public())

    assert first.ip_address.ip != second.ip_address.ip
