"""The operator as a process against a real API server, and a kubelet that only says what it is told to."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import yaml
from aiohttp_tls import let_connections_end
from deployments import spec

from berth.core.errors import Gone
from berth.core.keys import Key
from berth.kube.client import Api
from berth.plan.resources import DEPLOYMENTS, EVENTS, MODEL_DEPLOYMENTS, Resource

Object = dict[str, Any]

IMAGE = "registry.test/berth-scoring:1"
WAIT_SECONDS = 20


class Process:
    """A running `berth run`."""

    def __init__(self, child: asyncio.subprocess.Process, log: Path) -> None:
        self.child = child
        self.log = log

    @property
    def pid(self) -> int:
        return self.child.pid

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        if self.child.returncode is None:
            self.child.send_signal(number)
        return await asyncio.wait_for(self.child.wait(), WAIT_SECONDS)


@asynccontextmanager
async def operator(kubeconfig: Path, namespace: str, log: Path, **settings: str) -> AsyncIterator[Process]:
    """Run the operator for one namespace, or for all where the settings say so."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("BERTH_", "KUBERNETES_"))
    }
    environment |= {
        "KUBECONFIG": str(kubeconfig),
        "BERTH_NAMESPACES": namespace,
        "BERTH_OPERATOR_NAMESPACE": namespace,
        "BERTH_POD_NAME": log.stem,
        "BERTH_SCORING_IMAGE": IMAGE,
        "BERTH_HTTP_PORT": "0",
        "BERTH_SHUTDOWN_GRACE_SECONDS": "3",
    } | {f"BERTH_{name.upper()}": value for name, value in settings.items()}
    with log.open("ab") as output:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "berth.cli", "run", env=environment, stdout=output, stderr=output
        )
    process = Process(child, log)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError, TimeoutError):
            await process.stop()
        if child.returncode is None:
            await process.stop(signal.SIGKILL)


def kubeconfig_for(url: str, path: Path) -> Path:
    """Write a kubeconfig for a server that asks for no credentials."""
    named = {"name": "it"}
    path.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "it",
                "clusters": [named | {"cluster": {"server": url}}],
                "users": [named | {"user": {}}],
                "contexts": [named | {"context": {"cluster": "it", "user": "it"}}],
            }
        )
    )
    return path


class User:
    """Someone who works with kubectl in one namespace."""

    def __init__(self, client: Api, namespace: str) -> None:
        self.client = client
        self.namespace = namespace

    def key(self, name: str = "iris") -> Key:
        return Key(self.namespace, name)

    async def apply(self, fields: Object | None = None, name: str = "iris", **metadata: Any) -> Object:
        """Apply a ModelDeployment."""
        return await self.client.apply(
            MODEL_DEPLOYMENTS,
            self.body(MODEL_DEPLOYMENTS, name, metadata) | {"spec": fields or spec()},
            manager="kubectl",
        )

    async def edit(self, resource: Resource, fields: Object, name: str = "iris") -> Object:
        """Apply fields of an object over whoever has them."""
        metadata = {"name": name, "namespace": self.namespace, **fields.get("metadata", {})}
        body = {"apiVersion": resource.api_version, "kind": resource.kind, **fields, "metadata": metadata}
        return await self.client.apply(resource, body, manager="kubectl")

    async def get(self, resource: Resource = MODEL_DEPLOYMENTS, name: str = "iris") -> Object | None:
        """Read an object, or None."""
        with suppress(Gone):
            return await self.client.get(resource, self.key(name))
        return None

    async def delete(self, resource: Resource = MODEL_DEPLOYMENTS, name: str = "iris") -> None:
        """Delete an object."""
        there = await self.client.get(resource, self.key(name))
        await self.client.delete(resource, self.key(name), uid=there["metadata"]["uid"])

    async def events(self) -> list[tuple[str, str]]:
        """Read reason and note of the Events in the namespace."""
        listing = await self.client.list(EVENTS, self.namespace)
        return [(event["reason"], event["note"]) for event in listing.items]

    async def until(
        self,
        holds: Callable[[Object], bool],
        resource: Resource = MODEL_DEPLOYMENTS,
        name: str = "iris",
        seconds: int = WAIT_SECONDS,
    ) -> Object:
        """Wait until an object is there for which this holds, and return it."""
        seen: Object | None = None
        for _ in range(seconds * 20):
            seen = await self.get(resource, name)
            if seen is not None and holds(seen):
                return seen
            await asyncio.sleep(0.05)
        raise AssertionError(f"in vain, at the end there was {json.dumps(seen, indent=1)}")

    async def until_ready(self, name: str = "iris") -> Object:
        """Wait until the present generation is Ready."""
        return await self.until(is_ready, name=name)

    async def until_gone(self, resource: Resource, name: str = "iris") -> None:
        """Wait until an object is not there."""
        for _ in range(WAIT_SECONDS * 20):
            if await self.get(resource, name) is None:
                return
            await asyncio.sleep(0.05)
        raise AssertionError(f"{resource.kind} {name} stays")

    def body(self, resource: Resource, name: str, metadata: Object) -> Object:
        """Give an object without its fields."""
        told = {"name": name, "namespace": self.namespace, **metadata}
        return {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": told}


class Kubelet:
    """Says of each Deployment of a namespace that its Pods are ready, unless it was told other counts."""

    def __init__(self, client: Api, namespace: str = "") -> None:
        self._client = client
        self._namespace = namespace
        self.counts: dict[str, Object] = {}

    async def run(self) -> None:
        """Follow the Deployments for ever."""
        listing = await self._client.list(DEPLOYMENTS, self._namespace)
        for deployment in listing.items:
            await self._tell(deployment)
        since = listing.resource_version
        while True:
            async with aclosing(self._client.watch(DEPLOYMENTS, self._namespace, since=since)) as events:
                async for kind, deployment in events:
                    since = deployment["metadata"]["resourceVersion"]
                    if kind in ("ADDED", "MODIFIED"):
                        await self._tell(deployment)

    async def _tell(self, deployment: Object) -> None:
        metadata, replicas = deployment["metadata"], deployment["spec"]["replicas"]
        kinds = ("replicas", "updatedReplicas", "availableReplicas", "readyReplicas")
        counts = self.counts.get(metadata["name"], dict.fromkeys(kinds, replicas))
        status = {"observedGeneration": metadata["generation"], **counts}
        present = deployment.get("status", {})
        if all(present.get(name, 0) == value for name, value in status.items()):
            return
        path = Key(metadata["namespace"], f"{metadata['name']}/status")
        with suppress(Gone):
            await self._client.merge_patch(DEPLOYMENTS, path, {"status": status})


@asynccontextmanager
async def running_kubelet(client: Api, namespace: str = "") -> AsyncIterator[Kubelet]:
    """Run a kubelet; what it failed of is raised at the end."""
    kubelet = Kubelet(client, namespace)
    task = asyncio.create_task(kubelet.run())
    try:
        yield kubelet
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await let_connections_end()


def condition(deployment: Object, kind: str) -> Object:
    """A condition of a ModelDeployment, empty where it is absent."""
    found = deployment.get("status", {}).get("conditions", ())
    return next((each for each in found if each["type"] == kind), {})


def is_ready(deployment: Object) -> bool:
    """Tell whether the present generation is Ready, while the status keeps the rules of kstatus."""
    kinds = [each["type"] for each in deployment["status"].get("conditions", ())]
    assert not ("Reconciling" in kinds and "Stalled" in kinds)
    current = deployment["status"]["observedGeneration"] == deployment["metadata"]["generation"]
    return current and condition(deployment, "Ready").get("status") == "True"


def is_stalled(deployment: Object) -> bool:
    """Tell whether the present generation cannot go on."""
    current = deployment["status"]["observedGeneration"] == deployment["metadata"]["generation"]
    return current and bool(condition(deployment, "Stalled"))
