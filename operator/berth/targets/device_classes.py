"""Counts devices of DRA classes from what drivers publish and claims were given; the kinds are small."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from berth.api.common import Tolerations
from berth.api.conditions import Reason
from berth.core.errors import Gone, Terminal
from berth.plan.device_classes import (
    Published,
    count_class,
    read_claim,
    read_class,
    read_ending,
    read_slice,
)
from berth.plan.devices import Claimant, Room, Uncounted, read_node
from berth.plan.labels import SELECT_CLAIMING
from berth.plan.resources import CLAIMS, DEVICE_CLASSES, NODES, PODS, SLICES
from berth.targets.counting import Counting
from berth.targets.watches import Follow, Scope, refusal_of

_LOOK_AGAIN_SECONDS = 60.0


class DeviceClasses(Counting):
    """Counts devices of DRA classes."""

    def __init__(self, follow: Follow, clock: Callable[[], float]) -> None:
        super().__init__(follow, clock)
        self._classes = self._scope(DEVICE_CLASSES, read_class)
        self._slices = self._scope(SLICES, read_slice)
        self._claims = self._scope(CLAIMS, read_claim)
        self._nodes = self._scope(NODES, read_node)
        self._ending = self._scope(PODS, read_ending, labels=SELECT_CLAIMING)
        self._is_wanted = False

    def room(self, name: str, selector: Mapping[str, str], tolerations: Tolerations) -> Room | Uncounted:
        """Count the devices of a pool."""
        if not self._is_wanted:
            self._is_wanted = True
            self._begin()
        refusal = refusal_of(self._always())
        if isinstance(refusal, Gone):
            raise Terminal(
                Reason.TARGET_NOT_AVAILABLE,
                f"The API server does not serve {SLICES.api_version}, which came with Kubernetes 1.34: "
                f"DeviceClass {name} cannot be used here",
                _LOOK_AGAIN_SECONDS,
            )
        if refusal is not None:
            return Uncounted(f"The operator cannot look at {SLICES.group}: {refusal}")
        return count_class(name, self._published(), self._nodes.objects, selector, tolerations)

    def _always(self) -> Iterable[Scope[Any]]:
        return self._classes, self._slices, self._claims, self._nodes, self._ending

    def _adapt(self, group: asyncio.TaskGroup) -> None:
        """Leave them: none depends on what another tells."""

    def _published(self) -> Published:
        return Published(
            classes=self._classes.objects,
            slices=self._slices.objects,
            claims=self._claims.objects,
            ending=frozenset(self._ending.objects),
        )

    def _waiting(self) -> Iterator[Claimant]:
        return (each.claimant(each.wants) for each in self._claims.objects if each.wants)
