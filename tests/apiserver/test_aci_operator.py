"""The operator's process between a real API server and an emulated Azure: from apply to nothing."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aci_process import put_secret, wanted
from answering_groups import AnsweringGroups
from azure_emulator import SUBSCRIPTION, group_id
from container_groups import desired
from operator_process import Process, User, condition, is_stalled, operator

from berth.core.errors import Gone
from berth.core.keys import Key
from berth.plan.group_names import Owner
from berth.plan.resources import COMPUTE_TARGETS, MODEL_DEPLOYMENTS, NAMESPACES
from berth_sandbox.azure.cloud import Azure
from berth_sandbox.azure.names import GroupId
from berth_sandbox.azure.simulation import Behaviour
from berth_sandbox.cluster.control_plane import ControlPlane


@pytest.fixture
async def berth(
    control_plane: ControlPlane, user: User, place: Key, tmp_path: Path
) -> AsyncIterator[Process]:
    async with operator(control_plane.kubeconfig, user.namespace, tmp_path / "berth-0.log") as process:
        yield process


async def until_gone(user: User, place: Key) -> None:
    with suppress(Gone):
        for _ in range(400):
            await user.client.get(COMPUTE_TARGETS, place)
            await asyncio.sleep(0.05)
        pytest.fail("the ComputeTarget stays")


async def test_apply_leads_to_an_answer_and_deletion_to_nothing(
    user: User, azure: Azure, place: Key, berth: Process
) -> None:
    await user.apply(wanted(place))

    ready = await user.until_ready()

    (group,) = azure.service.group_ids()
    assert ready["status"]["scoringUri"] == f"http://{ready['status']['aci']['fqdn']}/score"
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"http://{ready['status']['aci']['ip']}/score", json={}) as answer,
    ):
        assert await answer.json() == [0]
    await user.delete()
    await user.until_gone(MODEL_DEPLOYMENTS)
    assert group not in azure.service.group_ids()
    assert azure.service.group_ids() == []


async def test_wrong_credentials_are_told_on_both_objects(
    user: User, azure: Azure, place: Key, tmp_path: Path, control_plane: ControlPlane
) -> None:
    await put_secret(user, "expired")
    async with operator(control_plane.kubeconfig, user.namespace, tmp_path / "berth-0.log"):
        await user.apply(wanted(place))
        told = condition(await user.until(is_stalled), "Stalled")
        assert told["reason"] == "AuthenticationFailed"
        for _ in range(100):
            there = await user.client.get(COMPUTE_TARGETS, place)
            if condition(there, "Stalled"):
                break
            await asyncio.sleep(0.05)
        assert condition(there, "Stalled")["reason"] == "AuthenticationFailed"


async def test_an_operator_that_is_killed_is_made_up_for(
    user: User, azure: Azure, place: Key, tmp_path: Path, control_plane: ControlPlane
) -> None:
    log = tmp_path / "berth-0.log"
    async with operator(control_plane.kubeconfig, user.namespace, log) as process:
        await user.apply(wanted(place))
        for _ in range(2000):
            if azure.service.group_ids():
                break
            await asyncio.sleep(0.01)
        await process.stop(signal.SIGKILL)
    async with operator(control_plane.kubeconfig, user.namespace, log):
        await user.until_ready()
        assert len(azure.requests.of("ContainerGroups_CreateOrUpdate")) == 1
        assert len(azure.service.group_ids()) == 1


async def test_a_compute_target_in_use_stays_until_its_last_user_is_gone(
    user: User, azure: Azure, place: Key, berth: Process
) -> None:
    await user.apply(wanted(place))
    await user.until_ready()
    there = await user.client.get(COMPUTE_TARGETS, place)
    await user.client.delete(COMPUTE_TARGETS, place, uid=there["metadata"]["uid"])
    assert (await user.client.get(COMPUTE_TARGETS, place))["metadata"]["finalizers"]
    await user.delete()
    await user.until_gone(MODEL_DEPLOYMENTS)
    await until_gone(user, place)


async def test_a_changed_spec_reaches_the_group_in_place_or_by_a_new_one(
    user: User, azure: Azure, place: Key, berth: Process
) -> None:
    await user.apply(wanted(place))
    await user.until_ready()

    await user.apply(wanted(place, env=[{"name": "A", "value": "b"}]))
    await user.until_ready()
    assert len(azure.requests.of("ContainerGroups_CreateOrUpdate")) == 2
    assert azure.requests.of("ContainerGroups_Delete") == []

    await user.apply(wanted(place, resources={"requests": {"cpu": 2, "memory": "4G"}}))
    await user.until_ready()
    assert len(azure.requests.of("ContainerGroups_CreateOrUpdate")) == 3
    assert len(azure.requests.of("ContainerGroups_Delete")) == 1
    assert len(azure.service.group_ids()) == 1


async def scraped(port: int, wanted: str) -> str:
    """Read the metrics until they hold a line."""
    async with aiohttp.ClientSession() as session:
        for _ in range(400):
            with suppress(aiohttp.ClientConnectionError):
                async with session.get(f"http://127.0.0.1:{port}/metrics") as answer:
                    text = await answer.text()
                    if f"\n{wanted}\n" in text:
                        return text
            await asyncio.sleep(0.05)
    raise AssertionError(f"never {wanted}")


async def test_metrics_tell_of_calls_to_azure_and_of_orphans(
    user: User, azure: Azure, place: Key, tmp_path: Path, control_plane: ControlPlane
) -> None:
    cluster = (await user.client.get(NAMESPACES, Key("", "kube-system")))["metadata"]["uid"]
    lost = desired()
    tags = lost.tags | Owner(cluster, user.namespace, "lost", "its uid").tags(1, "")
    await azure.service.create_or_update(group_id("lost"), lost.body | {"tags": tags})
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    log = tmp_path / "berth-0.log"
    async with operator(control_plane.kubeconfig, user.namespace, log, http_port=str(port)):
        text = await scraped(port, "berth_orphaned_groups 1.0")
    of = f'subscription="{SUBSCRIPTION}"'
    assert f'\nberth_azure_requests_total{{code="200",operation="list",{of}}} 1.0\n' in text
    assert f"\nberth_azure_circuit_open{{{of}}} 0.0\n" in text
    assert '\nberth_azure_request_duration_seconds_count{operation="usages"} ' in text
    assert '\nworkqueue_queue_duration_seconds_count{name="computetarget"}' in text
    assert "\nberth_orphaned_groups_deleted_total 0.0\n" in text
    assert azure.requests.of("ContainerGroups_Delete") == []


async def test_another_group_takes_over_though_the_operator_is_killed_meanwhile(
    user: User, azure: Azure, place: Key, tmp_path: Path, control_plane: ControlPlane
) -> None:
    blue_green, log = {"updateStrategy": "BlueGreen"}, tmp_path / "berth-0.log"
    async with operator(control_plane.kubeconfig, user.namespace, log) as process:
        await user.apply(wanted(place, aci=blue_green))
        before = (await user.until_ready())["status"]
        await user.apply(wanted(place, aci=blue_green, env=[{"name": "A", "value": "b"}]))
        meanwhile = (await user.until(lambda there: bool(condition(there, "SuccessorReady"))))["status"]
        assert meanwhile["scoringUri"] == before["scoringUri"]
        assert condition({"status": meanwhile}, "EndpointReady")["status"] == "True"
        await process.stop(signal.SIGKILL)
    async with operator(control_plane.kubeconfig, user.namespace, log):
        after = (await user.until_ready())["status"]
        assert after["scoringUri"] != before["scoringUri"]
        assert len(azure.requests.of("ContainerGroups_CreateOrUpdate")) == 2
        assert azure.requests.of("ContainerGroups_Delete") == []  # callers have a minute to follow

        await user.apply(wanted(place, aci=blue_green, env=[{"name": "A", "value": "c"}]))
        assert (await user.until_ready())["status"]["scoringUri"] == before["scoringUri"]
        assert len(azure.requests.of("ContainerGroups_Delete")) == 1

        await user.delete()
        await user.until_gone(MODEL_DEPLOYMENTS)
        assert azure.service.group_ids() == []


async def test_the_crash_of_a_ready_group_is_told_within_a_minute(
    user: User, azure: Azure, answerers: AnsweringGroups, place: Key, berth: Process
) -> None:
    own = "registry.test/own:1"
    lasting = Behaviour(run_seconds=900, exit_code=3, log=("No space left on device",))
    answerers.behaviours[own] = lasting  # half a minute on this side
    await user.apply(wanted(place, image=own, imageServer="Berth"))
    await user.until_ready()
    (group,) = azure.service.group_ids()
    for _ in range(600):
        if "previousState" in await view(azure, group):
            break
        await asyncio.sleep(0.1)
    answerers.is_silent = True
    reads = len(azure.requests.of("ContainerGroups_Get"))

    for _ in range(300):
        told = condition(await user.until(bool), "Ready")
        if told["status"] == "False":
            break
        await asyncio.sleep(0.2)

    assert told["reason"] == "ContainerFailed"
    assert "exit code 3; its last words: No space left on device" in told["message"]
    # News of its own status may bring a second pass.
    assert 1 <= len(azure.requests.of("ContainerGroups_Get")) - reads <= 2


async def view(azure: Azure, group: GroupId) -> dict[str, Any]:
    container = (await azure.service.get(group))["properties"]["containers"][0]
    seen: dict[str, Any] = container["properties"]["instanceView"]
    return seen
