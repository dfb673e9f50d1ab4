"""Operators that are killed in the middle, and two that act at once: one group, and none in the end."""

import asyncio
import signal
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from aci_process import wanted
from operator_process import Process, User, operator

from berth.core.keys import Key
from berth.plan.resources import MODEL_DEPLOYMENTS
from berth_sandbox.azure.cloud import Azure
from berth_sandbox.azure.requests import Exchange
from berth_sandbox.cluster.control_plane import ControlPlane

Running = Callable[..., AbstractAsyncContextManager[Process]]


@pytest.fixture
def run(control_plane: ControlPlane, user: User, tmp_path: Path) -> Running:
    """Start an operator by its name."""

    def run(name: str = "berth-0", **settings: str) -> AbstractAsyncContextManager[Process]:
        return operator(control_plane.kubeconfig, user.namespace, tmp_path / f"{name}.log", **settings)

    return run


def kill_at(azure: Azure, operation: str, process: Process) -> asyncio.Event:
    """Kill the operator when Azure has done what it asks, before it hears the answer."""
    killed, add = asyncio.Event(), azure.requests.add

    def listen(exchange: Exchange) -> None:
        add(exchange)
        if exchange.operation == operation and not killed.is_set():
            process.child.send_signal(signal.SIGKILL)
            killed.set()

    azure.requests.add = listen  # type: ignore[method-assign]  # the only one who hears of each exchange
    return killed


def accepted(azure: Azure, operation: str) -> int:
    return sum(exchange.status in {200, 201} for exchange in azure.requests.of(operation))


@pytest.mark.parametrize(
    "operation",
    [
        "Token",
        "ContainerGroups_Get",
        "ContainerGroups_ListByResourceGroup",
        "Location_ListUsage",
        "ContainerGroups_CreateOrUpdate",
        "Containers_ListLogs",
    ],
)
async def test_an_operator_that_is_killed_at_a_call_of_a_creation_makes_one_group(
    user: User, azure: Azure, place: Key, run: Running, operation: str
) -> None:
    async with run() as process:
        killed = kill_at(azure, operation, process)
        await user.apply(wanted(place))
        await asyncio.wait_for(killed.wait(), 20)
        await process.child.wait()
    async with run():
        await user.until_ready()
        assert accepted(azure, "ContainerGroups_CreateOrUpdate") == 1
        assert len(azure.service.group_ids()) == 1
        await user.delete()
        await user.until_gone(MODEL_DEPLOYMENTS)
    assert azure.service.group_ids() == []


async def test_an_operator_that_is_killed_at_the_deletion_leaves_nothing(
    user: User, azure: Azure, place: Key, run: Running
) -> None:
    async with run() as process:
        await user.apply(wanted(place))
        await user.until_ready()
        killed = kill_at(azure, "ContainerGroups_Delete", process)
        await user.delete()
        await asyncio.wait_for(killed.wait(), 20)
        await process.child.wait()
    async with run():
        await user.until_gone(MODEL_DEPLOYMENTS)
    assert azure.service.group_ids() == []


async def test_two_operators_at_once_make_one_group_and_do_not_fight(
    user: User, azure: Azure, place: Key, run: Running
) -> None:
    async with run("berth-0"), run("berth-1", lease_name="another"):
        await user.apply(wanted(place))
        await user.until_ready()
        assert accepted(azure, "ContainerGroups_CreateOrUpdate") == 1

        await user.apply(wanted(place, env=[{"name": "A", "value": "b"}]))
        await user.until_ready()
        await asyncio.sleep(3)
        settled = await user.get()
        writes = len(azure.requests.of("ContainerGroups_CreateOrUpdate"))
        await asyncio.sleep(8)

        assert settled == await user.get()
        assert len(azure.requests.of("ContainerGroups_CreateOrUpdate")) == writes
        assert accepted(azure, "ContainerGroups_CreateOrUpdate") == 2
        assert azure.requests.of("ContainerGroups_Delete") == []
        assert len(azure.service.group_ids()) == 1

        await user.delete()
        await user.until_gone(MODEL_DEPLOYMENTS)
        await asyncio.sleep(3)
    assert azure.service.group_ids() == []
