"""An operator for several namespaces: one that it may not watch stops no other, and may come back."""

import asyncio
import socket
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from api_requests import ApiServer
from container_groups import aci_spec
from faulty_proxy import FaultyProxy
from operator_process import Process, User, condition, is_stalled, kubeconfig_for, operator, running_kubelet

from berth.kube.client import Api
from berth.plan.resources import MODEL_DEPLOYMENTS, Resource

NAMESPACES = Resource("", "v1", "namespaces", "Namespace")


@pytest.fixture
async def users(client: Api, api: ApiServer) -> AsyncIterator[tuple[User, User]]:
    """A user in each of two namespaces."""
    names = [f"test-{uuid.uuid4().hex[:10]}" for _ in range(2)]
    for name in names:
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        await client.create(NAMESPACES, body)
    async with running_kubelet(client, names[0]), running_kubelet(client, names[1]):
        yield User(client, names[0]), User(client, names[1])


def refuse(proxy: FaultyProxy, user: User) -> None:
    """Let the operator have no rights in a user's namespace."""

    def fault(request: web.Request) -> int | None:
        return 403 if f"/namespaces/{user.namespace}/" in request.path else None

    proxy.cut()
    proxy.fault = fault
    proxy.resume()


@pytest.fixture
async def berth(proxy: FaultyProxy, users: tuple[User, User], tmp_path: Path) -> AsyncIterator[Process]:
    """An operator for both namespaces that at its start may watch the first one only."""
    first, second = users
    refuse(proxy, second)
    kubeconfig = kubeconfig_for(proxy.url, tmp_path / "kubeconfig")
    both = f"{first.namespace},{second.namespace}"
    log = tmp_path / "berth-0.log"
    async with operator(kubeconfig, first.namespace, log, namespaces=both) as process:
        yield process


async def test_a_namespace_that_is_refused_stops_no_other_and_may_come_back(
    proxy: FaultyProxy, users: tuple[User, User], berth: Process
) -> None:
    first, second = users
    await first.apply()
    await first.until_ready()
    await second.apply()
    proxy.fault = lambda _: None
    await second.until_ready()
    assert f"in {second.namespace} again" in berth.log.read_text()


async def test_a_namespace_that_is_lost_stops_no_other(
    proxy: FaultyProxy, users: tuple[User, User], berth: Process
) -> None:
    first, second = users
    await first.apply()
    await first.until_ready()
    refuse(proxy, second)
    await asyncio.sleep(2)
    await first.apply(name="later")
    await first.until_ready("later")
    assert berth.child.returncode is None


async def test_without_rights_to_compute_targets_the_cluster_serves_and_all_else_says_why(
    proxy: FaultyProxy, users: tuple[User, User], tmp_path: Path
) -> None:
    user, _ = users
    proxy.fault = lambda request: 403 if "/computetargets" in request.path else None
    kubeconfig = kubeconfig_for(proxy.url, tmp_path / "kubeconfig")
    async with operator(kubeconfig, user.namespace, tmp_path / "berth-0.log"):
        await user.apply(aci_spec(computeTargetRef={"name": "dev"}), name="far")
        told = condition(await user.until(is_stalled, name="far"), "Stalled")
        assert told["reason"] == "TargetNotAvailable"
        assert "watchNamespaces: it serves target AKS, and FPGA without computeTargetRef" in told["message"]
        await user.apply()
        await user.until_ready()
        await user.delete(name="far")
        await user.until_gone(MODEL_DEPLOYMENTS, name="far")


async def problems(port: int) -> set[str]:
    """Ask why the operator is not ready, once it answers."""
    async with aiohttp.ClientSession() as session:
        for _ in range(200):
            try:
                async with session.get(f"http://127.0.0.1:{port}/readyz") as answer:
                    return set((await answer.json())["problems"])
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.1)
    raise AssertionError("no answer")


async def until_problems(port: int, wanted: set[str]) -> None:
    for _ in range(200):
        if await problems(port) == wanted:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"never {wanted}")


async def test_ready_means_that_every_namespace_was_listed(
    proxy: FaultyProxy, users: tuple[User, User], tmp_path: Path
) -> None:
    first, second = users
    proxy.fault = lambda request: 503 if f"/{first.namespace}/services" in request.path else None
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    kubeconfig = kubeconfig_for(proxy.url, tmp_path / "kubeconfig")
    both = {"namespaces": f"{first.namespace},{second.namespace}", "http_port": str(port)}
    async with operator(kubeconfig, first.namespace, tmp_path / "berth-0.log", **both):
        await until_problems(port, {"services"})
        await asyncio.sleep(1)
        assert await problems(port) == {"services"}
        proxy.fault = lambda _: None
        await until_problems(port, set())
