"""The target `AKS`: a Deployment with its Service, autoscaler, disruption budget and keys in this cluster."""

import base64
import contextlib
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from berth.core.errors import Conflict, Gone, Terminal
from berth.core.keys import Key
from berth.core.results import Done, Result
from berth.core.store import Store
from berth.plan import cluster
from berth.plan.causes import Cause, cause_from_events, fetched, first_cause, starting_pod
from berth.plan.children import (
    KEY_NAMES,
    SERVING,
    Desired,
    ScoringImage,
    kept_image,
    serving_hash,
)
from berth.plan.cluster import Observation, Plan
from berth.plan.labels import pod_selector
from berth.plan.observed import Observed, key_of
from berth.plan.report import is_ready
from berth.plan.resources import DEPLOYMENTS, POD_EVENTS, PODS, SECRETS, SERVICES, Resource
from berth.plan.rollout import Rollout, read_rollout
from berth.plan.steps import (
    Apply,
    Children,
    Create,
    FillKeys,
    Override,
    ReleaseReplicas,
    Remove,
    Step,
    child_names,
    own,
    refuse_stranger,
)
from berth.plan.subject import Subject
from berth.plan.validation import Golden
from berth.targets.base import Cluster, Object
from berth.targets.golden import GoldenRequests

_REPLICAS_MANAGER = "berth-replicas"
_KEY_BYTES = 32

ChildStores = Mapping[Resource, Store[Key, Observed]]
Narrow = Callable[[Resource, Object], Observed]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What serves the current spec."""

    root: str
    """The URL that the paths of its routes follow."""
    serving: str
    """The hash that its Pods carry."""


class AksTarget:
    """Serves models in the cluster that the operator runs in."""

    def __init__(
        self,
        api: Cluster,
        *,
        stores: ChildStores,
        narrow: Narrow,
        image: ScoringImage,
        golden: GoldenRequests,
    ) -> None:
        self._api = api
        self._stores = stores
        self._narrow = narrow
        self._image = image
        self._golden = golden
        self._overrides: dict[Key, dict[Resource, Override]] = {}

    async def observe(self, subject: Subject) -> Observation:
        """Read the children from the store, and Pods only while they have something to tell."""
        children = self.children(subject)
        ours = own(subject, children)
        rollout = read_rollout(ours.get(DEPLOYMENTS))
        serving = cluster.is_serving(subject, rollout)
        golden = self._golden_outcome(subject, children)
        seen = Observation(children, golden=golden, overrides=self._overrides.get(subject.key, {}))
        if DEPLOYMENTS not in ours or not self._pods_can_tell(subject, rollout, serving):
            return seen
        pods = await self._pods(subject, ours[DEPLOYMENTS])
        cause = None if serving else first_cause(pods) or await self._cause_from_events(subject, pods)
        return replace(seen, cause=cause, pods=() if serving else pods, fetched=fetched(pods))

    def plan(self, subject: Subject, observation: Observation, now: datetime) -> Plan:
        """Decide on steps and status."""
        return cluster.plan(subject, observation, self._image, now)

    async def act(self, subject: Subject, plan: Plan) -> None:
        """Write the differences, and learn at once what the API server made of them."""
        for step in plan.steps:
            await self._take(subject, step)

    async def end(self, subject: Subject) -> Result:  # noqa: ARG002
        """Do nothing: the API server deletes the children with their owner."""
        return Done()

    def forget(self, key: Key) -> None:
        """Ask its endpoint no more."""
        self._golden.forget(key)
        self._overrides.pop(key, None)

    def children(self, subject: Subject) -> Children:
        """Read what the watches have told of the children, whosever they are."""
        found = {}
        for resource, name in child_names(subject).items():
            observed = self._stores[resource].get(Key(subject.metadata.namespace, name))
            if observed is not None:
                found[resource] = observed.parse()
        return found

    @staticmethod
    def _pods_can_tell(subject: Subject, rollout: Rollout, serving: bool) -> bool:
        """Ask for causes while the rollout waits, and once for digests that the spec does not pin."""
        if not serving:
            return rollout.observed
        return not is_ready(subject) and not all(model.sha256 for model in subject.spec.all_models)

    def endpoint(self, subject: Subject, children: Children) -> Endpoint | None:
        """Return who can be asked; replicas of an earlier spec may be complete as well, and are not meant."""
        ours = own(subject, children)
        rollout = read_rollout(ours.get(DEPLOYMENTS))
        if SERVICES not in ours or not rollout.available or not cluster.is_serving(subject, rollout):
            return None
        serving = self._serving_hash(subject, ours[DEPLOYMENTS])
        if ours[DEPLOYMENTS]["metadata"]["annotations"].get(SERVING) != serving:
            return None
        return Endpoint(cluster.root(subject, _host(ours[SERVICES])), serving)

    def _golden_outcome(self, subject: Subject, children: Children) -> Golden | None:
        endpoint = self.endpoint(subject, children) if subject.spec.validation else None
        if endpoint is None:
            self._golden.forget(subject.key)
            return None
        return self._golden.outcome(subject, endpoint.root, endpoint.serving)

    def _serving_hash(self, subject: Subject, deployment: Mapping[str, Any]) -> str:
        return serving_hash(subject, kept_image(subject, self._image, observed=deployment))

    async def _pods(self, subject: Subject, deployment: Mapping[str, Any]) -> list[Object]:
        """Read the Pods of the current spec; those of an earlier one would tell of what is over."""
        serving = self._serving_hash(subject, deployment)
        listing = await self._api.list(PODS, subject.metadata.namespace, labels=pod_selector(subject))
        return [
            pod for pod in listing.items if pod["metadata"].get("annotations", {}).get(SERVING) == serving
        ]

    async def _cause_from_events(self, subject: Subject, pods: list[Object]) -> Cause | None:
        pod = starting_pod(pods)
        if pod is None:
            return None
        selector = f"involvedObject.uid={pod['metadata']['uid']}"
        events = await self._api.list(POD_EVENTS, subject.metadata.namespace, fields=selector)
        return cause_from_events(events.items)

    async def _take(self, subject: Subject, step: Step) -> None:
        match step:
            case Create(desired):
                await self._create_unless_taken(subject, desired)
            case Apply(desired, drifted):
                answer = await self._api.apply(desired.resource, desired.body)
                self._learn(desired.resource, answer)
                if drifted:
                    of_subject = self._overrides.setdefault(subject.key, {})
                    of_subject[desired.resource] = Override.seen(desired, answer)
            case FillKeys(key, missing):
                patch = {"data": _new_keys(missing)}
                self._learn(SECRETS, await self._api.merge_patch(SECRETS, key, patch))
            case ReleaseReplicas(key, replicas):
                await self._release(key, replicas)
            case Remove(resource, key, uid):
                await self._remove(resource, key, uid)

    async def _create_unless_taken(self, subject: Subject, desired: Desired) -> None:
        """Create without force: what no watch of ours shows may be somebody else's object.

        Raises Conflict where it was ours and has lost its label: its replicas are not those of a new one.
        """
        try:
            created = await self._create(desired)
        except (Conflict, Terminal):
            await self._refuse_stranger(subject, desired)
            raise
        self._learn(desired.resource, created)
        if created["metadata"].get("generation", 1) > 1:
            raise Conflict(f"{desired.resource.kind} {desired.name} was there, unseen by the watch")

    async def _refuse_stranger(self, subject: Subject, desired: Desired) -> None:
        with contextlib.suppress(Gone):
            there = await self._api.get(desired.resource, Key(subject.metadata.namespace, desired.name))
            refuse_stranger(subject, desired.resource, there["metadata"])
            self._learn(desired.resource, there)

    async def _create(self, desired: Desired) -> Object:
        if desired.resource is SECRETS:
            return await self._api.create(SECRETS, {**desired.body, "data": _new_keys(KEY_NAMES)})
        return await self._api.apply(desired.resource, desired.body, force=False)

    async def _release(self, key: Key, replicas: int) -> None:
        body = {
            "apiVersion": DEPLOYMENTS.api_version,
            "kind": DEPLOYMENTS.kind,
            "metadata": {"name": key.name, "namespace": key.namespace},
            "spec": {"replicas": replicas},
        }
        self._learn(DEPLOYMENTS, await self._api.apply(DEPLOYMENTS, body, manager=_REPLICAS_MANAGER))

    async def _remove(self, resource: Resource, key: Key, uid: str) -> None:
        try:
            await self._api.delete(resource, key, uid=uid)
        except Gone:
            store = self._stores.get(resource)
            if store is not None and (known := store.get(key)) is not None:
                store.delete(key, uid, known.resource_version)

    def _learn(self, resource: Resource, raw: Object) -> None:
        if resource in self._stores:
            self._stores[resource].put(key_of(raw), self._narrow(resource, raw))


def _host(service: Mapping[str, Any]) -> str:
    address: str = service["spec"]["clusterIP"]
    return f"[{address}]" if ":" in address else address


def _new_keys(names: tuple[str, ...]) -> dict[str, str]:
    """Generate a value for each name, encoded as a Secret's data must be."""
    return {name: base64.b64encode(secrets.token_urlsafe(_KEY_BYTES).encode()).decode() for name in names}
