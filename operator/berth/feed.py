"""News from the watches: into the stores, and into the queue where a pass could change something."""

from collections.abc import Callable, Mapping

from berth.core.keys import Key
from berth.core.queue import WorkQueue
from berth.core.store import Store
from berth.plan.observed import (
    Observed,
    key_of,
    model_deployment_of,
    narrow_child,
    narrow_model_deployment,
    narrow_secret,
)
from berth.plan.resources import (
    AUTOSCALERS,
    DEPLOYMENTS,
    DISRUPTION_BUDGETS,
    MODEL_DEPLOYMENTS,
    SECRETS,
    SERVICES,
    Resource,
)
from berth.targets.base import Object

Narrow = Callable[[Object], Observed]

CHILDREN: Mapping[Resource, Narrow] = {
    DEPLOYMENTS: narrow_child,
    SERVICES: narrow_child,
    AUTOSCALERS: narrow_child,
    DISRUPTION_BUDGETS: narrow_child,
    SECRETS: narrow_secret,
}
WATCHED: Mapping[Resource, Narrow] = {MODEL_DEPLOYMENTS: narrow_model_deployment, **CHILDREN}


class Feed:
    """Learns of every object that is watched, and queues the ModelDeployment that it belongs to."""

    def __init__(self, queue: WorkQueue[Key]) -> None:
        self.stores: Mapping[Resource, Store[Key, Observed]] = {resource: Store() for resource in WATCHED}
        self._queue = queue

    def changed(self, resource: Resource, raw: Object) -> None:
        """Hear that an object was added or modified, or that it was there when the watch began."""
        store, key = self.stores[resource], key_of(raw)
        known = store.get(key)
        if known is not None and known.resource_version == int(raw["metadata"]["resourceVersion"]):
            return  # the echo of a write of our own
        observed = WATCHED[resource](raw)
        if store.put(key, observed) and (known is None or known.body != observed.body):
            self._wake(resource, observed, raw)

    def vanished(self, resource: Resource, raw: Object) -> None:
        """Hear that an object was deleted."""
        metadata = raw["metadata"]
        self.stores[resource].delete(key_of(raw), metadata["uid"], int(metadata["resourceVersion"]))
        self._wake(resource, WATCHED[resource](raw), raw)

    def listed(self, resource: Resource, namespace: str, present: Mapping[Key, str], version: int) -> None:
        """Hear all uids of a namespace, or of all if it is empty, and forget what is not among them."""
        vanished = self.stores[resource].replace(
            present, version, lambda key: not namespace or key.namespace == namespace
        )
        for observed in vanished.values():
            self._wake(resource, observed, observed.parse())

    def _wake(self, resource: Resource, observed: Observed, raw: Object) -> None:
        if resource is MODEL_DEPLOYMENTS:
            self._queue.add(observed.key)
            return
        owner = model_deployment_of(raw["metadata"])
        if owner is not None:
            self._queue.add(Key(observed.key.namespace, owner))
