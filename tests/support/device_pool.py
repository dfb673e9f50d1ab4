"""A ComputeTarget for FPGA at a real API server, with nodes that are said to offer devices."""

import asyncio
from contextlib import suppress
from typing import Any

from fpga_deployments import STOCK, fpga_spec
from operator_process import User

from berth.core.errors import Gone
from berth.core.keys import Key
from berth.plan.resources import COMPUTE_TARGETS, NODES, PODS, Resource

ACCOUNTS = Resource("", "v1", "serviceaccounts", "ServiceAccount")

Object = dict[str, Any]


class Pool:
    """A ComputeTarget of the test's own, whose nodes and other Pods the test makes."""

    def __init__(self, user: User) -> None:
        self.user = user
        self.key = Key("", user.namespace)
        self.resource = f"fpga.example.com/{user.namespace}"
        self._nodes: list[str] = []

    async def begin(self) -> None:
        """Make what others' Pods need, and the ComputeTarget."""
        body = self._body(ACCOUNTS, "default")
        body["metadata"]["namespace"] = self.user.namespace
        await self.user.client.create(ACCOUNTS, body)
        await self.put()

    async def put(self, **fpga: Any) -> None:
        """Apply the ComputeTarget."""
        place = {"resourceName": self.resource, "featurizers": [STOCK], **fpga}
        place = {name: value for name, value in place.items() if value is not None}
        body = self._body(COMPUTE_TARGETS, self.key.name) | {"spec": {"kind": "FPGA", "fpga": place}}
        await self.user.client.apply(COMPUTE_TARGETS, body)

    async def node(self, name: str, devices: int | None, **labels: str) -> None:
        """Add a node that offers devices; None makes one that never did."""
        name = f"{self.key.name}-{name}"
        self._nodes.append(name)
        body = self._body(NODES, name)
        body["metadata"]["labels"] = labels
        await self.user.client.create(NODES, body)
        await self.user.client.merge_patch(NODES, Key("", name), {"spec": {"taints": None}})
        await self.offer(name, devices)

    async def offer(self, name: str, devices: int | None, *, broken: int = 0) -> None:
        """Say what a kubelet would say."""
        counts = {"cpu": "2", **({} if devices is None else {self.resource: str(devices)})}
        there = {"cpu": "2", **({} if devices is None else {self.resource: str(devices + broken)})}
        ready = {"type": "Ready", "status": "True"}
        status = {"capacity": there, "allocatable": counts, "conditions": [ready]}
        await self.user.client.merge_patch(NODES, Key("", f"{name}/status"), {"status": status})

    async def hold(self, name: str, devices: int = 1, *, on: str | None = "a") -> None:
        """Let somebody's Pod ask for devices, bound to a node or not."""
        resources = {"limits": {self.resource: str(devices)}}
        body = self._body(PODS, name) | {
            "spec": {
                "containers": [{"name": "it", "image": "it", "resources": resources}],
                **({"nodeName": f"{self.key.name}-{on}"} if on else {}),
            }
        }
        body["metadata"]["namespace"] = self.user.namespace
        await self.user.client.create(PODS, body)

    async def status(self, holds: Any) -> Object:
        """Wait until the ComputeTarget has a status for which this holds, and return it."""
        for _ in range(400):
            seen = await self.user.client.get(COMPUTE_TARGETS, self.key)
            if holds(seen["status"].get("fpga", {})):
                return seen
            await asyncio.sleep(0.05)
        raise AssertionError(seen)

    async def clear(self) -> None:
        """Remove what belongs to no namespace."""
        for resource, key in [(COMPUTE_TARGETS, self.key), *((NODES, Key("", name)) for name in self._nodes)]:
            with suppress(Gone):
                there = await self.user.client.get(resource, key)
                await self.user.client.delete(resource, key, uid=there["metadata"]["uid"])
                await self.user.client.merge_patch(resource, key, {"metadata": {"finalizers": None}})

    @staticmethod
    def _body(resource: Resource, name: str) -> Object:
        return {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": {"name": name}}


def served(pool: Pool, fpga: Object | None = None, **fields: Any) -> Object:
    return fpga_spec(fpga, computeTargetRef={"name": pool.key.name}, **fields)
