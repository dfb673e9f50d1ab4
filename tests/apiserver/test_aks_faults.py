"""The operator dies, and the API server is out of reach, at the worst moments."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from deployments import spec
from faulty_proxy import FaultyProxy
from operator_process import Kubelet, Process, User, kubeconfig_for, operator

from berth.plan.resources import (
    AUTOSCALERS,
    DEPLOYMENTS,
    DISRUPTION_BUDGETS,
    LEASES,
    SECRETS,
    SERVICES,
    Resource,
)
from berth_sandbox.cluster.control_plane import ControlPlane

WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
CHILDREN: tuple[tuple[Resource, str], ...] = (
    (SECRETS, "iris-keys"),
    (DEPLOYMENTS, "iris"),
    (SERVICES, "iris"),
    (AUTOSCALERS, "iris"),
    (DISRUPTION_BUDGETS, "iris"),
)


class Executioner:
    """Forwards to the API server, and kills the operator when it has written so often about models."""

    def __init__(self, proxy: FaultyProxy) -> None:
        self._proxy = proxy
        self._writes = 0
        self.last = 0
        self.url = ""
        self.victim: Process | None = None

    async def handle(self, request: web.Request) -> web.StreamResponse:
        answer = await self._proxy.handle(request)
        if request.method in WRITES and "leases" not in request.path:
            self._writes += 1
            if self._writes == self.last and self.victim is not None:
                os.kill(self.victim.pid, signal.SIGKILL)
        return answer


@pytest.fixture
async def executioner(proxy: FaultyProxy) -> AsyncIterator[Executioner]:
    executioner = Executioner(proxy)
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", executioner.handle)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    executioner.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield executioner
    await runner.cleanup()


async def children(user: User) -> dict[str, Any]:
    """The spec of each child, or the names of a Secret's entries."""
    found: dict[str, Any] = {}
    for resource, name in CHILDREN:
        child = await user.get(resource, name)
        assert child is not None, f"{resource.kind} {name} is missing"
        found[resource.kind] = child.get("spec") or sorted(child["data"])
    return found


FIELDS = spec(scaling={"minReplicas": 2, "maxReplicas": 4})
UNTIL_READY = 8
"""Writes to Ready with all five children: each of them, the replicas, the status and an Event."""


@pytest.mark.parametrize("last", range(1, UNTIL_READY + 1))
async def test_an_operator_that_is_killed_after_a_write_is_made_up_for(
    executioner: Executioner, user: User, kubelet: Kubelet, tmp_path: Path, last: int
) -> None:
    kubeconfig = kubeconfig_for(executioner.url, tmp_path / "kubeconfig")
    executioner.last = last
    await user.apply(FIELDS)
    async with operator(kubeconfig, user.namespace, tmp_path / "berth-0.log") as executioner.victim:
        assert await asyncio.wait_for(executioner.victim.child.wait(), 20) == -signal.SIGKILL
    async with operator(kubeconfig, user.namespace, tmp_path / "berth-0.log"):
        await user.until_ready()
    left = await children(user)
    assert left["Secret"] == ["primaryKey", "secondaryKey"]
    assert left["Deployment"]["replicas"] == 2
    assert left["HorizontalPodAutoscaler"]["maxReplicas"] == 4


async def test_what_vanishes_while_the_api_server_is_out_of_reach_is_made_again(
    user: User, kubelet: Kubelet, proxy: FaultyProxy, tmp_path: Path
) -> None:
    kubeconfig = kubeconfig_for(proxy.url, tmp_path / "kubeconfig")
    async with operator(kubeconfig, user.namespace, tmp_path / "berth-0.log"):
        await user.apply()
        await user.until_ready()
        proxy.cut()
        await user.delete(SERVICES)
        await user.edit(DEPLOYMENTS, {"spec": {"replicas": 3}})
        proxy.resume(expire_watches=6)
        await user.until(bool, SERVICES)
        await user.until(lambda there: there["spec"]["replicas"] == 1, DEPLOYMENTS)


async def test_an_operator_that_loses_its_lease_ends(
    control_plane: ControlPlane, user: User, kubelet: Kubelet, tmp_path: Path
) -> None:
    async with operator(control_plane.kubeconfig, user.namespace, tmp_path / "berth-0.log") as process:
        await user.until(lambda lease: lease["spec"]["holderIdentity"] == "berth-0", LEASES, "berth-leader")
        await user.client.merge_patch(
            LEASES, user.key("berth-leader"), {"spec": {"holderIdentity": "somebody-else"}}
        )
        assert await asyncio.wait_for(process.child.wait(), 20) == 1
