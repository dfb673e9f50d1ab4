"""Counts devices from watches that carry little: nodes, Pods of those that offer some, and Pods that wait.

The API server cannot select Pods by what they ask for, but by their node it can, and has an index for that.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import Any, Protocol

from berth.api.common import Tolerations
from berth.core.errors import Postponed, ReconcileError
from berth.core.keys import Key
from berth.plan.devices import Claimant, Node, Room, count, read_claimant, read_node
from berth.plan.observed import key_of
from berth.plan.resources import NODES, PODS, Resource
from berth.targets.base import Object

_UNBOUND = "spec.nodeName=,status.phase=Pending"
_ON_NODE = "spec.nodeName={},status.phase!=Succeeded,status.phase!=Failed"
_COUNTING_SECONDS = 0.5

Wake = Callable[[], None]


class Following(Protocol):
    """Follows the objects that a field selector matches, and tells a listener."""

    @property
    def settled(self) -> asyncio.Event:
        """Set once they were listed, or it is known why not."""

    @property
    def refusal(self) -> ReconcileError | None:
        """Why they cannot be followed."""

    def run(self) -> Coroutine[Any, Any, None]:
        """Follow them for ever."""


class Follow(Protocol):
    """Makes what follows objects."""

    def __call__(self, resource: Resource, listener: "_Known", *, fields: str) -> Following:
        """Follow the objects of a kind that a field selector matches."""


class _Known:
    """What is known of the objects that one watch tells of."""

    def __init__(self, read: Callable[[Object], Node | Claimant | None], changed: Wake) -> None:
        self.objects: dict[Key, Node | Claimant] = {}
        self._read = read
        self._changed = changed

    def changed(self, resource: Resource, raw: Object) -> None:  # noqa: ARG002
        """Hear that an object was added or modified."""
        self._set(key_of(raw), self._read(raw))

    def vanished(self, resource: Resource, raw: Object) -> None:  # noqa: ARG002
        """Hear that an object is not matched any more."""
        self._set(key_of(raw), None)

    def listed(self, resource: Resource, namespace: str, present: Mapping[Key, str], version: int) -> None:  # noqa: ARG002
        """Hear all that are matched."""
        for key in set(self.objects) - set(present):
            self.objects.pop(key)
        self._changed()

    def _set(self, key: Key, value: Node | Claimant | None) -> None:
        if value == self.objects.get(key):
            return
        if value is None:
            self.objects.pop(key)
        else:
            self.objects[key] = value
        self._changed()


class _Scope:
    """One watch, and what it has told."""

    def __init__(self, known: _Known, following: Following) -> None:
        self.known = known
        self.following = following
        self.task: asyncio.Task[None] | None = None


class Devices:
    """Knows who holds and who waits for devices; asks the API server nothing until someone wants to know."""

    def __init__(self, follow: Follow, clock: Callable[[], float]) -> None:
        self._follow = follow
        self._clock = clock
        self._resources: set[str] = set()
        self._listeners: dict[object, Wake] = {}
        self._missing: dict[str, float] = {}
        self._news = asyncio.Event()
        self._nodes = self._scope(NODES, read_node, "")
        self._unbound = self._scope(PODS, read_claimant, _UNBOUND)
        self._pods: dict[str, _Scope] = {}

    async def run(self) -> None:
        """Follow what is asked for, for ever."""
        await self._news.wait()
        async with asyncio.TaskGroup() as group:
            for scope in (self._nodes, self._unbound):
                scope.task = group.create_task(scope.following.run())
            while True:
                await self._news.wait()
                self._news.clear()
                self._follow_pools(group)
                for wake in tuple(self._listeners.values()):
                    wake()

    def tell(self, who: object, wake: Wake) -> None:
        """Call `wake` whenever the counts may have changed."""
        self._listeners[who] = wake

    def forget(self, who: object) -> None:
        """Tell someone no more."""
        self._listeners.pop(who, None)

    def room(self, resource: str, selector: Mapping[str, str], tolerations: Tolerations) -> Room | None:
        """Count the devices of a pool, None where the API server lets nobody count them.

        Raises Postponed where the watches have only begun.
        """
        if resource not in self._resources:
            self._resources.add(resource)
            self._news.set()
        scopes = [self._nodes, self._unbound, *map(self._pods.get, self._offering())]
        if any(scope is None or not scope.following.settled.is_set() for scope in scopes):
            raise Postponed("Devices are being counted", _COUNTING_SECONDS)
        if any(scope is not None and scope.following.refusal for scope in scopes):
            return None
        room = count(self._known_nodes(), self._claimants(), resource, selector, tolerations)
        if room.total:
            self._missing.pop(resource, None)
        return room

    def missing_seconds(self, resource: str) -> float:
        """Return for how long nobody has seen a device of this resource; counts from the first question."""
        now = self._clock()
        return now - self._missing.setdefault(resource, now)

    def waiting(self, holder: str) -> Claimant | None:
        """Return a Pod of this holder that waits for a node."""
        return next((each for each in self._claimants() if each.holder == holder and not each.node), None)

    def _scope(
        self, resource: Resource, read: Callable[[Object], Node | Claimant | None], fields: str
    ) -> _Scope:
        known = _Known(read, self._news.set)
        return _Scope(known, self._follow(resource, known, fields=fields))

    def _follow_pools(self, group: asyncio.TaskGroup) -> None:
        """Follow the Pods of each node that offers what was asked for, and of no other."""
        offering = set(self._offering())
        for name in offering - set(self._pods):
            scope = self._pods[name] = self._scope(PODS, read_claimant, _ON_NODE.format(name))
            scope.task = group.create_task(scope.following.run())
        for name in set(self._pods) - offering:
            if (task := self._pods.pop(name).task) is not None:
                task.cancel()

    def _offering(self) -> Iterator[str]:
        return (node.name for node in self._known_nodes() if self._resources & set(node.offers))

    def _known_nodes(self) -> Iterator[Node]:
        return (each for each in self._nodes.known.objects.values() if isinstance(each, Node))

    def _claimants(self) -> Iterator[Claimant]:
        """Give every Pod once: the news that one is bound comes by two watches."""
        found: dict[str, Claimant] = {}
        for scope in (self._unbound, *self._pods.values()):
            found |= {each.uid: each for each in scope.known.objects.values() if isinstance(each, Claimant)}
        return iter(found.values())
