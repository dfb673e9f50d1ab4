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
    narrow_compute_target,
    narrow_model_deployment,
    narrow_secret,
)
from berth.plan.resources import (
    AUTOSCALERS,
    COMPUTE_TARGETS,
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
WATCHED: Mapping[Resource, Narrow] = {
    MODEL_DEPLOYMENTS: narrow_model_deployment,
    COMPUTE_TARGETS: narrow_compute_target,
    **CHILDREN,
}


class Feed:
    """Learns of every object that is watched, and queues the ModelDeployment that it belongs to."""

    def __init__(self, queue: WorkQueue[Key], places: WorkQueue[Key]) -> None:
        self.stores: Mapping[Resource, Store[Key, Observed]] = {resource: Store() for resource in WATCHED}
        self._queue = queue
        self._places = places
        self._users: dict[Key, set[Key]] = {}

    def users(self, place: Key) -> list[Key]:
        """Name the ModelDeployments that use a ComputeTarget."""
        return sorted(self._users.get(place, ()))

    def changed(self, resource: Resource, raw: Object) -> None:
        """Hear that an object was added or modified, or that it was there when the watch began."""
        store, key = self.stores[resource], key_of(raw)
        known = store.get(key)
        if known is not None and known.resource_version == int(raw["metadata"]["resourceVersion"]):
            return  # the echo of a write of our own
        observed = WATCHED[resource](raw)
        if store.put(key, observed) and (known is None or known.body != observed.body):
            self._wake(resource, observed, raw)
            if resource is COMPUTE_TARGETS and (known is None or _generation(known) != _generation(observed)):
                self._wake_users(key)

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
            self._note_use(observed.key, raw)
            return
        if resource is COMPUTE_TARGETS:
            self._places.add(observed.key)
            return
        owner = model_deployment_of(raw["metadata"])
        if owner is not None:
            self._queue.add(Key(observed.key.namespace, owner))

    def _note_use(self, user: Key, raw: Object) -> None:
        """Keep who uses which ComputeTarget, and let the ComputeTarget know of a first or last user."""
        reference = raw["spec"].get("computeTargetRef")
        is_there = self.stores[MODEL_DEPLOYMENTS].get(user) is not None
        used = Key("", reference["name"]) if reference and is_there else None
        for place, users in self._users.items():
            if user in users and place != used:
                users.discard(user)
                self._places.add(place)
        if used and user not in self._users.setdefault(used, set()):
            self._users[used].add(user)
            self._places.add(used)

    def _wake_users(self, place: Key) -> None:
        for user in self.users(place):
            self._queue.add(user)


def _generation(observed: Observed) -> object:
    return observed.parse()["metadata"].get("generation")
