"""What runs behind a group can be anything: the service asks it, and shows what it says."""

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from azure.core.exceptions import HttpResponseError
from azure.mgmt.containerinstance import models
from azure.mgmt.containerinstance.aio import ContainerInstanceManagementClient as Client
from azure_emulator import RESOURCE_GROUP, begin, configured, container, delete, get, public
from azure_judge import Record

from berth_sandbox.azure.backing import (
    ContainerState,
    Event,
    InaccessibleImageError,
    InstanceView,
    Launch,
    LogLine,
    Observation,
    State,
)
from berth_sandbox.azure.clock import Clock
from berth_sandbox.azure.cloud import Azure
from berth_sandbox.azure.names import GroupId

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Puppet:
    """A backing that is told what there is to see, and remembers what it was told to do."""

    def __init__(self) -> None:
        self.launches: list[Launch] = []
        self.calls: list[str] = []
        self.seen = Observation()

    async def start(self, launch: Launch, now: datetime) -> None:
        if launch.containers[0].image == "missing:1":
            raise InaccessibleImageError("missing:1")
        self.calls.append("start")
        self.launches.append(launch)

    async def stop(self, group: GroupId, now: datetime) -> None:
        self.calls.append("stop")

    async def remove(self, group: GroupId) -> None:
        self.calls.append("remove")

    async def observe(self, group: GroupId, now: datetime) -> Observation:
        return self.seen

    async def logs(self, group: GroupId, container: str, now: datetime) -> Sequence[LogLine]:
        return [LogLine(NOW, "loading the model"), LogLine(NOW, "Killed")]


@pytest.fixture
def puppet() -> Puppet:
    return Puppet()


@pytest.fixture
def azure(puppet: Puppet) -> Azure:
    return configured(Azure(backing=puppet, clock=Clock(factor=0, start=NOW), requests=Record()))


async def test_a_launch_has_all_that_a_container_needs(puppet: Puppet, client: Client) -> None:
    variables = [models.EnvironmentVariable(name="KEY", secure_value="hidden")]
    mounts = [models.VolumeMount(name="model", mount_path="/model", read_only=True)]
    await begin(
        client,
        "iris",
        container(command=["serve"], environment_variables=variables, volume_mounts=mounts),
        volumes=[models.Volume(name="model", secret={"model.onnx": "AAEC"})],
        restart_policy="OnFailure",
    )

    (launch,) = puppet.launches

    assert launch.group.name == "iris"
    assert launch.restart_policy == "OnFailure"
    assert launch.volumes[0].files == {"model.onnx": b"\x00\x01\x02"}
    (started,) = launch.containers
    assert (started.image, started.command, started.ports) == ("scoring:1", ("serve",), (80,))
    assert started.environment == {"KEY": "hidden"}
    assert started.mounts[0].path == "/model"


async def test_what_the_backing_sees_is_shown(azure: Azure, puppet: Puppet, client: Client) -> None:
    asked = await begin(client, ip_address=public())
    assert asked.ip_address.ip is None
    killed = ContainerState(State.TERMINATED, NOW, NOW, 137, "OOMKilled")
    view = InstanceView(
        ContainerState(State.WAITING, detail_status="CrashLoopBackOff"),
        killed,
        restart_count=4,
        events=(Event("BackOff", "Back-off restarting failed container", NOW, NOW, 4, "Warning"),),
        first_started=NOW,
    )
    mounting = Event("FailedMount", "no such share", NOW, NOW)
    puppet.seen = Observation({"scoring": view}, "10.0.0.7", (mounting,))

    shown = await get(client)

    assert shown.ip_address.ip == "10.0.0.7"
    assert shown.provisioning_state == "Succeeded"
    assert shown.instance_view.events[0].name == "FailedMount"
    instance = shown.containers[0].instance_view
    assert (instance.restart_count, instance.previous_state.exit_code) == (4, 137)
    assert (instance.events[0].count, instance.events[0].type) == (4, "Warning")
    logs = await client.containers.list_logs(RESOURCE_GROUP, "iris", "scoring", tail=1)
    assert logs.content == "Killed\n"


async def test_the_backing_is_told_each_step(azure: Azure, puppet: Puppet, client: Client) -> None:
    await begin(client)
    puppet.seen = Observation({"scoring": InstanceView(ContainerState(State.RUNNING), first_started=NOW)})
    azure.clock.advance(60)
    await client.container_groups.stop(RESOURCE_GROUP, "iris")
    azure.clock.advance(60)
    await client.container_groups.begin_start(RESOURCE_GROUP, "iris", polling=False)
    await delete(client)

    assert puppet.calls == ["start", "stop", "start", "remove"]


async def test_an_image_that_the_backing_cannot_have_leaves_no_group(azure: Azure, client: Client) -> None:
    with pytest.raises(HttpResponseError) as caught:
        await begin(client, "iris", container(image="missing:1"))

    assert caught.value.error.code == "InaccessibleImage"
    assert azure.service.group_ids() == []
