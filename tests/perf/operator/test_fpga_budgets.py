"""What it costs to count devices: nothing of the thousands of Pods that hold none."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from device_pool import Pool, served
from operator_costs import Audit, cpu_seconds, resident_mebibytes
from operator_process import Kubelet, User, operator, running_kubelet

from berth.kube.client import Api
from berth.kube.connection import USER_AGENT
from berth.plan.resources import LEASES, PODS
from berth_sandbox.cluster.control_plane import ControlPlane

NODES_IN_ALL = 101
NODES_WITH_DEVICES = 2
PODS_IN_ALL = 5000
IDLE_SECONDS = 60
CHANGES = 500

MOST_MEBIBYTES_MORE = 8
MOST_REQUESTS_FOR_PODS = 10
MOST_CPU_MILLISECONDS_PER_CHANGE = 0.3


@pytest.fixture
def user(plane: ControlPlane, client: Api) -> User:
    plane.kubectl("create", "namespace", "fpga")
    return User(client, "fpga")


@pytest.fixture
async def kubelet(user: User) -> AsyncIterator[Kubelet]:
    async with running_kubelet(user.client) as kubelet:
        yield kubelet


def ordinary_pod(number: int, node: str) -> dict[str, Any]:
    """Give a Pod as large as Pods are: the API server keeps about 5 KB of it."""
    variables = [{"name": f"SETTING_{each}", "value": "x" * 80} for each in range(30)]
    resources = {"requests": {"cpu": "10m", "memory": "16Mi"}}
    container = {"name": "it", "image": "registry.test/it:1", "env": variables, "resources": resources}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"p{number}", "namespace": "fpga", "labels": {"app": "it"}},
        "spec": {"nodeName": node, "containers": [container]},
    }


async def fill(user: User, pool: Pool) -> None:
    """Make nodes and Pods; none of the Pods asks for a device, and few are where devices are."""
    names = [f"n{number}" for number in range(NODES_IN_ALL)]
    for number, name in enumerate(names):
        await pool.node(name, 2 if number < NODES_WITH_DEVICES else None)
    nodes = [f"{pool.key.name}-{name}" for name in names]
    made = (ordinary_pod(number, nodes[number % NODES_IN_ALL]) for number in range(PODS_IN_ALL))
    for batch in _batches(made, 16):
        await asyncio.gather(*(user.client.create(PODS, each) for each in batch))


def _batches(items: Iterator[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    batch = []
    for each in items:
        batch.append(each)
        if len(batch) == size:
            yield batch
            batch = []
    yield batch


@pytest.mark.timeout(900)
async def test_devices_are_counted_without_the_pods_that_hold_none(
    plane: ControlPlane, user: User, kubelet: Kubelet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pool = Pool(user)
    await pool.begin()
    await fill(user, pool)
    async with operator(plane.kubeconfig, user.namespace, tmp_path / "berth-0.log") as process:
        await user.until(lambda lease: bool(lease["spec"].get("holderIdentity")), LEASES, "berth-leader", 60)
        await asyncio.sleep(3)
        before = resident_mebibytes(process)
        began = time.monotonic()
        await user.apply(served(pool))
        counted = await user.until(lambda it: "devices" in it["status"].get("fpga", {}), seconds=60)
        took = time.monotonic() - began
        assert counted["status"]["fpga"]["devices"]["total"] == 2 * NODES_WITH_DEVICES
        await user.until_ready()
        more = resident_mebibytes(process) - before

        asked = [each for each in plane.audit_events(USER_AGENT) if of_pods(each)]
        audit = Audit(plane)
        await asyncio.sleep(IDLE_SECONDS)
        idle = await audit.news()

        cpu = cpu_seconds(process.pid)
        await change_pods(user)
        cpu = (cpu_seconds(process.pid) - cpu) / CHANGES * 1000
    with capsys.disabled():
        print(f"\n{PODS_IN_ALL} Pods on {NODES_IN_ALL} nodes, {NODES_WITH_DEVICES} with devices:")
        print(f"counted {took:.1f} s after apply, {more:.1f} MiB more; {len(asked)} requests for Pods")
        print(f"idle for {IDLE_SECONDS} s: {len(idle)} calls; a change of another Pod: {cpu:.2f} ms CPU")
    assert [each["requestURI"] for each in asked if "Selector=" not in each["requestURI"]] == []
    assert len(asked) <= MOST_REQUESTS_FOR_PODS
    assert idle == []
    assert more <= MOST_MEBIBYTES_MORE
    assert cpu <= MOST_CPU_MILLISECONDS_PER_CHANGE


def of_pods(event: dict[str, Any]) -> bool:
    return bool(event.get("objectRef", {}).get("resource") == PODS.plural)


async def change_pods(user: User) -> None:
    """Change Pods on nodes without devices, as their kubelets do."""
    elsewhere = (number for number in range(PODS_IN_ALL) if number % NODES_IN_ALL >= NODES_WITH_DEVICES)
    for number in itertools.islice(elsewhere, CHANGES):
        told = {"status": {"phase": "Running", "podIP": f"10.1.{number // 250}.{number % 250}"}}
        await user.client.merge_patch(PODS, user.key(f"p{number}/status"), told)
