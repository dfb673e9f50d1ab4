"""A Reconciler for the target AKS on a simulated cluster, and the ModelDeployments that it serves."""

from datetime import datetime, timedelta
from typing import Any

from deployments import CREATED, IMAGE, Spec
from simulated_cluster import SimulatedCluster

from berth.api.common import Target
from berth.core.keys import Key
from berth.core.results import Result
from berth.core.store import Store
from berth.feed import CHILDREN
from berth.plan.children import ScoringImage
from berth.plan.labels import MANAGED_BY
from berth.plan.observed import Observed, narrow_model_deployment
from berth.plan.report import Event
from berth.plan.resources import DEPLOYMENTS, Resource
from berth.plan.subject import Subject
from berth.reconcile import Reconciler
from berth.targets.aks import AksTarget
from berth.targets.golden import Answer, GoldenRequests

KEY = Key("demo", "iris")


class World:
    """One ModelDeployment demo/iris, its cluster, and the operator that looks after it."""

    def __init__(self, fields: Spec, cluster: SimulatedCluster | None = None, *, uid: str = "uid-1") -> None:
        self.cluster = cluster or SimulatedCluster()
        self.now = datetime.fromisoformat(CREATED) + timedelta(seconds=5)
        self.statuses: list[dict[str, Any]] = []
        self.events: list[Event] = []
        self.asked: list[Key] = []
        self.answer: Answer | Exception = Answer(200, "[0]")
        self.urls: list[str] = []
        self._raw: dict[str, Any] = {
            "metadata": {
                "name": KEY.name,
                "namespace": KEY.namespace,
                "uid": uid,
                "generation": 1,
                "creationTimestamp": CREATED,
                "resourceVersion": "1",
            },
            "spec": fields,
            "status": {"observedGeneration": -1},
        }
        self.restart()

    def restart(self, image: ScoringImage = IMAGE) -> None:
        """Start a new operator that knows nothing but what the cluster holds."""
        self.subjects: Store[Key, Observed] = Store()
        self.stores: dict[Resource, Store[Key, Observed]] = {resource: Store() for resource in CHILDREN}
        golden = GoldenRequests(self.cluster, self._call, self.asked.append)
        target = AksTarget(
            self.cluster,
            stores=self.stores,
            narrow=lambda resource, raw: CHILDREN[resource](raw),
            image=image,
            golden=golden,
        )
        self._reconciler = Reconciler(
            self.subjects,
            {Target.AKS: target},
            api=self,
            recorder=self,
            clock=lambda: self.now,
        )

    @property
    def answered(self) -> int:
        """How often the model was asked."""
        return len(self.urls)

    @property
    def status(self) -> dict[str, Any]:
        """The status that was last written."""
        status: dict[str, Any] = self._raw["status"]
        return status

    def condition(self, kind: str) -> dict[str, Any]:
        """A condition of that status, empty where it is absent."""
        return next((each for each in self.status.get("conditions", ()) if each["type"] == kind), {})

    @property
    def children(self) -> dict[str, Any]:
        """The objects in the cluster without what the server adds to them, by kind."""
        return {
            resource.kind: {path: value for path, value in stored.found.items() if "data" not in path}
            for (resource, _), stored in self.cluster.objects.items()
        }

    def change(self, fields: Spec) -> None:
        """Let the user apply another spec."""
        self._raw["spec"] = fields
        self._raw["metadata"]["generation"] += 1
        self._touch()

    async def once(self) -> Result:
        """Let the watches tell all there is, then run one pass."""
        self.subjects.put(KEY, narrow_model_deployment(self._raw))
        self._watch()
        return await self._reconciler.reconcile(KEY)

    async def settle(self, *, ready: int | None = None) -> None:
        """Run passes until nothing is written any more; with `ready` the Deployment has so many replicas."""
        for _ in range(8):
            before = len(self.cluster.writes), len(self.statuses)
            if ready is not None and (DEPLOYMENTS, KEY) in self.cluster.objects:
                self.cluster.become_ready(DEPLOYMENTS, KEY, ready)
            await self.once()
            if before == (len(self.cluster.writes), len(self.statuses)):
                return
        raise AssertionError(f"never settles: {self.cluster.writes[-10:]}")

    async def fail(self, error: Exception) -> None:
        """Let a pass have failed."""
        self.subjects.put(KEY, narrow_model_deployment(self._raw))
        await self._reconciler.report_failure(KEY, error)

    async def apply_status(self, resource: Resource, body: dict[str, Any]) -> dict[str, Any]:
        self._raw = self._raw | {"status": body["status"]}
        self.statuses.append(body["status"])
        self._touch()
        return self._raw

    def record(self, subject: Subject, event: Event) -> None:
        self.events.append(event)

    async def _call(self, url: str, body: str, headers: Any, certificate: bytes | None) -> Answer:
        self.urls.append(url)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def _touch(self) -> None:
        metadata = self._raw["metadata"]
        self._raw["metadata"] = metadata | {"resourceVersion": str(int(metadata["resourceVersion"]) + 1)}

    def _watch(self) -> None:
        for resource, store in self.stores.items():
            there = self.cluster.labelled(resource, {MANAGED_BY: "berth"})
            for key, raw in there.items():
                store.put(key, CHILDREN[resource](raw))
            uids = {key: raw["metadata"]["uid"] for key, raw in there.items()}
            store.replace(uids, self.cluster.version)
