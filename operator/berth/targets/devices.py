"""Counts devices from watches that carry little: nodes, Pods of those that offer some, and Pods that wait.

The API server cannot select Pods by what they ask for, but by their node it can, and has an index for that.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from berth.api.common import Tolerations
from berth.plan.devices import Claimant, Room, Uncounted, count, read_claimant, read_offering
from berth.plan.resources import NODES, PODS
from berth.targets.counting import Counting
from berth.targets.watches import Follow, Scope, refusal_of

_UNBOUND = "spec.nodeName=,status.phase=Pending"
_ON_NODE = "spec.nodeName={},status.phase!=Succeeded,status.phase!=Failed"


class Devices(Counting):
    """Counts extended resources."""

    def __init__(self, follow: Follow, clock: Callable[[], float]) -> None:
        super().__init__(follow, clock)
        self._resources: set[str] = set()
        self._nodes = self._scope(NODES, read_offering)
        self._unbound = self._scope(PODS, read_claimant, fields=_UNBOUND)
        self._pods: dict[str, Scope[Claimant]] = {}

    def end(self) -> None:
        """Follow no more, for the process ends."""
        super().end()
        for scope in self._pods.values():
            scope.end()

    def room(self, name: str, selector: Mapping[str, str], tolerations: Tolerations) -> Room | Uncounted:
        """Count the devices of a pool."""
        if name not in self._resources:
            self._resources.add(name)
            self._begin()
        refusal = refusal_of([self._nodes, self._unbound, *map(self._pods.get, self._offering())])
        if refusal is not None:
            return Uncounted(f"The operator cannot look at nodes and pods: {refusal}")
        return count(self._nodes.objects, self._claimants(), name, selector, tolerations)

    def _always(self) -> Iterable[Scope[Any]]:
        return self._nodes, self._unbound

    def _adapt(self, group: asyncio.TaskGroup) -> None:
        """Follow the Pods of each node that offers what was asked for, and of no other."""
        offering = set(self._offering())
        for name in offering - set(self._pods):
            self._pods[name] = self._scope(PODS, read_claimant, fields=_ON_NODE.format(name))
            self._pods[name].begin(group)
        for name in set(self._pods) - offering:
            self._pods.pop(name).end()

    def _waiting(self) -> Iterator[Claimant]:
        return (each for each in self._claimants() if not each.node)

    def _offering(self) -> Iterator[str]:
        return (node.name for node in self._nodes.objects if self._resources & set(node.offers))

    def _claimants(self) -> Iterator[Claimant]:
        """Give every Pod once: the news that one is bound comes by two watches."""
        found: dict[str, Claimant] = {}
        for scope in (self._unbound, *self._pods.values()):
            found |= {each.uid: each for each in scope.objects}
        return iter(found.values())
