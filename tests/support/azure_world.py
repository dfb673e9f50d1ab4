"""An operator in this process, between a cluster in memory and an emulated Azure: what its worlds share."""

import base64
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from simulated_cluster import SimulatedCluster

from berth.core.errors import Postponed, ReconcileError
from berth.core.keys import Key
from berth.core.results import Result
from berth.feed import Feed
from berth.plan.labels import MANAGED_BY
from berth.plan.observed import FINALIZER
from berth.plan.report import Event
from berth.plan.resources import COMPUTE_TARGETS, MODEL_DEPLOYMENTS, SECRETS, Resource
from berth.plan.subject import Subject
from berth.reconcile import Reconciler
from berth_sandbox.azure.cloud import Azure

Object = dict[str, Any]

OPERATOR_NAMESPACE = "berth-system"
IRIS = Key("demo", "iris")
_CREATED = datetime(2026, 11, 1, 12, tzinfo=UTC)


@dataclass
class Clock:
    """A clock that stands until a test moves it, on the wall and otherwise."""

    seconds: float = 5.0

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return _CREATED + timedelta(seconds=self.seconds)


class StatefulCluster(SimulatedCluster):
    """A cluster in memory whose objects have status and finalizers, as ours have."""

    after_write: Callable[[], None] = staticmethod(lambda: None)
    """What happens between a write and its answer."""

    async def create(self, resource: Resource, body: Object) -> Object:
        created = await super().create(resource, body)
        self.after_write()
        return created

    async def apply_status(self, resource: Resource, body: Object) -> Object:
        stored = self._stored(resource, key_of(body))
        self.writes.append(f"status {resource.kind}")
        stored.status = body["status"]
        self._touch(stored, stored.raw)
        self.after_write()
        return stored.raw

    async def apply(
        self, resource: Resource, body: Object, *, manager: str = "berth", force: bool = True
    ) -> Object:
        if "finalizers" not in body["metadata"]:
            return await super().apply(resource, body, manager=manager, force=force)
        stored = self._stored(resource, key_of(body))
        self.writes.append(f"finalizers {resource.kind}")
        stored.metadata["finalizers"] = body["metadata"]["finalizers"]
        self._touch(stored, stored.raw)
        if "deletionTimestamp" in stored.metadata and not stored.metadata["finalizers"]:
            del self.objects[resource, key_of(body)]
        self.after_write()
        return stored.raw


class Killed(BaseException):
    """What ends an operator at once, whatever it does."""


class AzureWorld:
    """What users, watches and workers do in a world, whatever its ModelDeployments are served by."""

    spec: ClassVar[Object]
    """What users apply where nothing else is said."""
    azure: Azure
    clock: Clock
    cluster: StatefulCluster
    feed: Feed
    reconciler: Reconciler
    events: list[Event]

    def put(self, resource: Resource, key: Key, fields: Object, **metadata: Any) -> None:
        """Place an object, or what takes its place."""
        body = {"apiVersion": resource.api_version, "kind": resource.kind, **fields}
        self.cluster.put(
            resource, body | {"metadata": {"name": key.name, "namespace": key.namespace, **metadata}}
        )

    def put_data(self, resource: Resource, key: Key, entries: dict[str, str]) -> None:
        """Place a ConfigMap or Secret."""
        if resource is SECRETS:
            entries = {name: base64.b64encode(value.encode()).decode() for name, value in entries.items()}
        self.put(resource, key, {"data": entries})

    def apply(self, spec: Object | None = None, key: Key = IRIS, **annotations: str) -> None:
        """Let the user apply a ModelDeployment, over the one that is there."""
        there = self.cluster.objects.get((MODEL_DEPLOYMENTS, key))
        if there is None:
            self.put(MODEL_DEPLOYMENTS, key, {"spec": spec or self.spec})
            self.cluster.objects[MODEL_DEPLOYMENTS, key].status = {"observedGeneration": -1}
            return
        stored = self.cluster.objects[MODEL_DEPLOYMENTS, key]
        kept = stored.metadata | {"generation": stored.metadata["generation"] + 1}
        status = stored.status
        self.put(MODEL_DEPLOYMENTS, key, {"spec": spec or self.spec}, annotations=annotations)
        fresh = self.cluster.objects[MODEL_DEPLOYMENTS, key]
        fresh.metadata |= {name: value for name, value in kept.items() if name != "resourceVersion"}
        fresh.status = status

    def delete(self, resource: Resource = MODEL_DEPLOYMENTS, key: Key = IRIS) -> None:
        """Let the user delete an object."""
        stored = self.cluster.objects[resource, key]
        if not stored.metadata.get("finalizers"):
            del self.cluster.objects[resource, key]
            return
        before = stored.raw
        stored.metadata["deletionTimestamp"] = "2026-11-01T12:00:00Z"
        self.cluster._touch(stored, before)

    def get(self, resource: Resource = MODEL_DEPLOYMENTS, key: Key = IRIS) -> Object | None:
        """Read an object, or None."""
        return self.cluster.raw(resource, key)

    def condition(self, kind: str, resource: Resource = MODEL_DEPLOYMENTS, key: Key = IRIS) -> Object:
        """A condition of an object, empty where it is absent."""
        there = self.get(resource, key) or {"status": {}}
        return next((each for each in there["status"].get("conditions", ()) if each["type"] == kind), {})

    def tells_ready(self, key: Key = IRIS) -> bool:
        """Tell whether the status says Ready of the present generation."""
        there, verdict = self.get(key=key), self.condition("Ready", key=key)
        current = there is not None and verdict.get("observedGeneration") == there["metadata"]["generation"]
        return bool(current and verdict["status"] == "True")

    def look(self) -> None:
        """Let the watches tell all there is."""
        for resource in (COMPUTE_TARGETS, MODEL_DEPLOYMENTS, SECRETS):
            known = self.feed.stores[resource]
            found = {
                key: stored
                for (kind, key), stored in self.cluster.objects.items()
                if kind == resource and (resource is not SECRETS or is_own(stored.raw))
            }
            for key, stored in found.items():
                seen = known.get(key)
                if seen is None or seen.resource_version < int(stored.metadata["resourceVersion"]):
                    self.feed.changed(resource, stored.raw)
            present = {key: stored.metadata["uid"] for key, stored in found.items()}
            self.feed.listed(resource, "", present, self.cluster.version)

    async def once(self, key: Key = IRIS) -> Result:
        """Let the watches tell all there is, then run one pass."""
        self.look()
        return await self.reconciler.reconcile(key)

    async def attempt(self, key: Key = IRIS) -> Result | ReconcileError:
        """Run one pass; what it fails of is told in the status, as the workers do."""
        try:
            return await self.once(key)
        except Postponed as error:
            return error
        except ReconcileError as error:
            await self.reconciler.report_failure(key, error)
            return error

    def pass_time(self, seconds: float) -> None:
        """Let time go by in Azure and here."""
        self.azure.clock.advance(seconds)
        self.clock.seconds += seconds

    def is_held(self, key: Key = IRIS) -> bool:
        """Tell whether the finalizer is there."""
        there = self.get(key=key)
        return there is not None and FINALIZER in there["metadata"].get("finalizers", ())

    def record(self, subject: Subject, event: Event) -> None:
        self.events.append(event)


def is_own(body: Object) -> bool:
    return bool(body["metadata"].get("labels", {}).get(MANAGED_BY) == "berth")


def key_of(body: Object) -> Key:
    return Key(body["metadata"].get("namespace", ""), body["metadata"]["name"])
