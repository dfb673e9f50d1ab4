"""Devices of a DRA driver: slices and allocations are written by the test, all else is real."""

from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from deployments import MODEL
from device_pool import Object, Pool, served
from operator_process import Kubelet, Process, User, condition, is_ready, operator

from berth.core.errors import Gone
from berth.core.keys import Key
from berth.plan.resources import (
    CLAIM_TEMPLATES,
    CLAIMS,
    DEPLOYMENTS,
    DEVICE_CLASSES,
    NODES,
    PODS,
    SLICES,
    Resource,
)
from berth_sandbox.cluster.control_plane import ControlPlane


class Driver:
    """A DRA driver of the test's own with a DeviceClass, and a scheduler that gives its devices away."""

    def __init__(self, user: User) -> None:
        self.user = user
        self.name = f"{user.namespace}.example.com"
        self.node = f"{user.namespace}-a"

    async def begin(self, expression: str | None = None) -> None:
        """Make a node and the class."""
        await self._create(NODES, self.node)
        await self.user.client.merge_patch(NODES, Key("", self.node), {"spec": {"taints": None}})
        status = {"conditions": [{"type": "Ready", "status": "True"}], "allocatable": {"cpu": "2"}}
        await self.user.client.merge_patch(NODES, Key("", f"{self.node}/status"), {"status": status})
        selector = {"cel": {"expression": expression or f'device.driver == "{self.name}"'}}
        await self._create(DEVICE_CLASSES, self.name, spec={"selectors": [selector]})

    async def publish(self, *devices: str, generation: int = 1, part: str = "0", parts: int = 1) -> None:
        """Publish a slice of the devices on the node."""
        pool = {"name": self.node, "generation": generation, "resourceSliceCount": parts}
        spec = {"driver": self.name, "nodeName": self.node, "pool": pool}
        found = [{"name": each} for each in devices]
        await self._create(SLICES, f"{self.user.namespace}-{part}", spec=spec | {"devices": found})

    async def claim(self, name: str, device: str | None = None, **labels: str) -> None:
        """Do what becomes of a Pod with a template: a claim that waits, or one that was given a device."""
        container = {"name": "it", "image": "it"}
        pod = await self._create(PODS, name, self.user.namespace, spec={"containers": [container]})
        owner = {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": pod["metadata"]["uid"]}
        exactly = {"deviceClassName": self.name, "count": 1}
        spec = {"devices": {"requests": [{"name": "device", "exactly": exactly}]}}
        metadata = {"ownerReferences": [owner], "labels": labels}
        await self._create(CLAIMS, f"{name}-device", self.user.namespace, metadata, spec=spec)
        if device is None:
            return
        given = {"request": "device", "driver": self.name, "pool": self.node, "device": device}
        status = {
            "allocation": {"devices": {"results": [given]}},
            "reservedFor": [{"resource": "pods", "name": name, "uid": owner["uid"]}],
        }
        await self.user.client.merge_patch(CLAIMS, self.user.key(f"{name}-device/status"), {"status": status})

    async def clear(self) -> None:
        """Remove what belongs to no namespace."""
        slices = await self.user.client.list(SLICES, fields=f"spec.driver={self.name}")
        names = [Key("", each["metadata"]["name"]) for each in slices.items]
        there = [(SLICES, key) for key in names]
        for resource, key in [*there, (DEVICE_CLASSES, Key("", self.name)), (NODES, Key("", self.node))]:
            with suppress(Gone):
                found = await self.user.client.get(resource, key)
                await self.user.client.delete(resource, key, uid=found["metadata"]["uid"])

    async def _create(
        self,
        resource: Resource,
        name: str,
        namespace: str = "",
        metadata: Object | None = None,
        **fields: Any,
    ) -> Object:
        placed = {"name": name, **({"namespace": namespace} if namespace else {}), **(metadata or {})}
        body = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": placed, **fields}
        return await self.user.client.create(resource, body)


@pytest.fixture
async def driver(user: User, pool: Pool) -> AsyncIterator[Driver]:
    driver = Driver(user)
    await pool.put(resourceName=None, deviceClassName=driver.name, dynamicResources=True)
    yield driver
    await driver.clear()


@pytest.fixture
async def berth(control_plane: ControlPlane, namespace: str, tmp_path: Path) -> AsyncIterator[Process]:
    async with operator(control_plane.kubeconfig, namespace, tmp_path / "berth-0.log") as process:
        yield process


def rolling(deployment: Object) -> Object:
    found: Object = deployment["spec"]["strategy"]["rollingUpdate"]
    return found


def mine(name: str) -> Object:
    return {"app.kubernetes.io/managed-by": "berth", "berth.dev/deployment": name}


async def test_devices_are_told_before_any_pod_waits(
    user: User, driver: Driver, pool: Pool, berth: Process
) -> None:
    await driver.begin()
    await driver.publish("acl0", "acl1")
    await driver.claim("other", "acl0")
    await user.apply(served(pool, scaling={"replicas": 2}))
    lacking = await user.until(lambda it: condition(it, "DevicesAvailable").get("reason") == "DevicesInUse")
    told = condition(lacking, "DevicesAvailable")["message"]
    assert f"of 2 in all 1 are allocated ({user.namespace}/other 1), 1 free" in told
    counts = {"resourceName": driver.name, "total": 2, "allocated": 1, "free": 1, "pending": 0}
    assert lacking["status"]["fpga"]["devices"] == counts
    found = await pool.status(lambda told: "devices" in told)
    assert found["status"]["fpga"] == {
        "nodes": 1,
        "devices": counts,
        "holders": [{"name": f"{user.namespace}/other", "devices": 1}],
    }


async def test_claims_are_made_by_a_template_that_says_whose_they_are(
    user: User, driver: Driver, pool: Pool, kubelet: Kubelet, berth: Process
) -> None:
    await driver.begin()
    await driver.publish("acl0", "acl1")
    await user.apply(served(pool))
    await user.until_ready()
    (template,) = (await user.client.list(CLAIM_TEMPLATES, user.namespace)).items
    assert template["spec"]["metadata"]["labels"].items() >= mine("iris").items()
    await driver.claim("iris-1", "acl1", **template["spec"]["metadata"]["labels"])
    held = await user.until(lambda it: it["status"]["fpga"].get("held") == 1)
    assert held["status"]["fpga"]["nodes"] == [driver.node]
    assert is_ready(held)


@pytest.mark.parametrize(
    ("devices", "strategy"),
    [
        (["acl0"], {"maxSurge": 0, "maxUnavailable": 1}),
        (["acl0", "acl1"], {"maxSurge": 1, "maxUnavailable": 0}),
    ],
    ids=["full", "one free"],
)
async def test_a_rollout_surges_only_onto_a_free_device(
    user: User,
    driver: Driver,
    pool: Pool,
    kubelet: Kubelet,
    berth: Process,
    devices: list[str],
    strategy: Object,
) -> None:
    await driver.begin()
    await driver.publish(*devices)
    await user.apply(served(pool))
    await user.until_ready()
    await driver.claim("iris-1", "acl0", **mine("iris"))
    await user.until(lambda it: it["status"]["fpga"].get("held") == 1)
    await user.apply(served(pool, model=MODEL | {"version": "4"}))
    rolled = await user.until(lambda it: it["metadata"]["generation"] > 1, DEPLOYMENTS)
    assert rolling(rolled) == strategy


async def test_a_pool_is_counted_once_its_driver_has_published_all(
    user: User, driver: Driver, pool: Pool, kubelet: Kubelet, berth: Process
) -> None:
    await driver.begin()
    await driver.publish("acl0", parts=2)
    await user.apply(served(pool))
    unknown = await user.until(is_unknown)
    assert "has published 1 of 2 slices" in condition(unknown, "DevicesAvailable")["message"]
    await driver.publish("acl1", part="1", parts=2)
    known = await user.until(lambda it: "devices" in it["status"]["fpga"])
    assert known["status"]["fpga"]["devices"]["total"] == 2


async def test_a_class_that_only_the_scheduler_understands_is_told_and_serves(
    user: User, driver: Driver, pool: Pool, kubelet: Kubelet, berth: Process
) -> None:
    asked = f'device.attributes["{driver.name}"].model == "A10"'
    await driver.begin(asked)
    await driver.publish("acl0")
    await user.apply(served(pool))
    ready = await user.until_ready()
    assert is_unknown(ready)
    assert asked in condition(ready, "DevicesAvailable")["message"]
    deployment = await user.get(DEPLOYMENTS)
    assert deployment is not None
    assert rolling(deployment) == {"maxSurge": 0, "maxUnavailable": 1}
    found = await pool.status(lambda told: not told)
    assert asked in condition(found, "DevicesAvailable")["message"]


async def test_an_api_server_without_such_a_group_says_that_it_is_not_there(user: User) -> None:
    """What the operator takes for a Kubernetes before 1.34."""
    with pytest.raises(Gone):
        await user.client.list(replace(SLICES, version="v9"))
    with pytest.raises(Gone):
        await user.client.list(replace(SLICES, group="none.k8s.io"))


def is_unknown(there: Object) -> bool:
    return condition(there, "DevicesAvailable").get("status") == "Unknown"
