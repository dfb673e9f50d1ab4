"""The target `FPGA`: what `AKS` makes, on nodes with exclusive devices that are counted first."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Protocol

from berth.api.conditions import Reason
from berth.api.fpga import Preemption
from berth.api.fpga_place import FpgaPlace, FpgaPlaceStatus, StockWeights
from berth.core.errors import Gone, Terminal
from berth.core.keys import Key
from berth.core.results import Result
from berth.plan import fpga_plan
from berth.plan.children import ScoringImage
from berth.plan.cluster import Plan
from berth.plan.compute_target_status import Place
from berth.plan.devices import Room, Uncounted
from berth.plan.fpga_placement import FpgaSubject, placed, pool_device
from berth.plan.fpga_plan import FpgaObservation, Runtime, Scaling, scaling_of
from berth.plan.report import is_ready
from berth.plan.resources import POD_EVENTS, PRIORITY_CLASSES
from berth.plan.steps import Children
from berth.plan.subject import Subject
from berth.targets.aks import AksTarget
from berth.targets.base import Cluster
from berth.targets.counting import Counting
from berth.targets.counts import Counts
from berth.targets.runtimes import Runtimes

_LOOK_AGAIN_SECONDS = 60.0
_NEVER = "Never"


class Pools(Protocol):
    """The ComputeTargets."""

    async def admit(self, subject: Subject) -> None:
        """Raise Terminal unless the namespace may use the ComputeTarget that is named."""

    def place_of(self, subject: Subject) -> Place:
        """Return the ComputeTarget that is named; raises Terminal where there is none of that kind."""


class FpgaTarget:
    """Serves deep networks in the cluster, each replica on devices of its own."""

    def __init__(
        self,
        aks: AksTarget,
        api: Cluster,
        *,
        pools: Pools,
        counts: Counts,
        image: ScoringImage,
        stock: tuple[StockWeights, ...],
        runtimes: Runtimes,
        wake: Callable[[Key], None],
    ) -> None:
        self._aks = aks
        self._api = api
        self._pools = pools
        self._counts = counts
        self._image = image
        self._stock = stock
        self._runtimes = runtimes
        self._wake = wake

    async def observe(self, subject: Subject) -> FpgaObservation:
        """Count the devices, then look at the objects in the cluster as for AKS."""
        place = await self._place(subject)
        where = placed(subject, place, stock=self._stock)
        if not is_ready(subject):
            await self._refuse_preemption(subject)
        counting, placement = self._counting(where), where.placement
        room = counting.room(where.device.name, placement.node_selector, placement.tolerations)
        children = self._aks.children(subject)
        surge = fpga_plan.surge(where, self._image, children, room)
        lacking = fpga_plan.lacking(where, children, room)
        where = placed(subject, place, stock=self._stock, surge=surge, lacking=lacking)
        observed = await self._aks.observe(where)
        seen = FpgaObservation(where, observed, room, runtime=self._runtime(where, observed.children))
        return seen if isinstance(room, Uncounted) else await self._with_news(seen, room, counting)

    def plan(self, subject: Subject, observation: FpgaObservation, now: datetime) -> Plan:  # noqa: ARG002
        """Decide on steps and status."""
        return fpga_plan.plan(observation, self._image, now)

    async def act(self, subject: Subject, plan: Plan) -> None:
        """Write the differences."""
        await self._aks.act(subject, plan)

    async def end(self, subject: Subject) -> Result:
        """Do nothing: the API server deletes the children with their owner."""
        return await self._aks.end(subject)

    def forget(self, key: Key) -> None:
        """Ask its endpoint no more, and tell it of no devices."""
        self._aks.forget(key)
        self._runtimes.forget(key)
        self._counts.forget(key)

    async def _place(self, subject: Subject) -> FpgaPlace | None:
        if subject.spec.compute_target_ref is None:
            return None
        await self._pools.admit(subject)
        return self._pools.place_of(subject).spec.fpga

    def _counting(self, subject: FpgaSubject) -> Counting:
        return self._counts.of(subject.device, subject.key, partial(self._wake, subject.key))

    def _runtime(self, subject: FpgaSubject, children: Children) -> Runtime | None:
        """Ask what serves, unless that is known; a server of its own need not know the question."""
        endpoint = None if subject.spec.has_own_server else self._aks.endpoint(subject, children)
        known = fpga_plan.known_runtime(subject)
        if endpoint is None or known is not None:
            self._runtimes.forget(subject.key)
            return known if endpoint else None
        return self._runtimes.told(subject.key, endpoint.root, endpoint.serving)

    async def _with_news(self, seen: FpgaObservation, room: Room, counting: Counting) -> FpgaObservation:
        """Add for how long devices are missing, and what an autoscaler does about it."""
        seen = replace(seen, missing_seconds=counting.missing_seconds(seen.subject.key, room))
        if fpga_plan.lack(seen) is None:
            return seen
        return replace(seen, scaling=await self._scaling(seen.subject, counting))

    async def _scaling(self, subject: FpgaSubject, counting: Counting) -> Scaling | None:
        pod = counting.waiting(fpga_plan.holder_of(subject))
        if pod is None:
            return None
        events = await self._api.list(POD_EVENTS, pod.key.namespace, fields=f"involvedObject.uid={pod.uid}")
        return scaling_of(events.items)

    async def _refuse_preemption(self, subject: Subject) -> None:
        """Raise Terminal where Pods would end others though nobody said that they may.

        The API server lets no Pod say so itself: the class decides.
        """
        fpga = subject.spec.fpga_settings
        name = fpga.priority_class_name
        if name is None:
            return
        try:
            found = await self._api.get(PRIORITY_CLASSES, Key("", name))
        except Gone:
            raise Terminal(
                Reason.CONFIG_INVALID, f"PriorityClass {name} does not exist", _LOOK_AGAIN_SECONDS
            ) from None
        if fpga.preemption is Preemption.NEVER and found.get("preemptionPolicy") != _NEVER:
            raise Terminal(
                Reason.PREEMPTION_NOT_ALLOWED,
                f"Pods of PriorityClass {name} end others of lower priority: set fpga.preemption to "
                "PreemptLowerPriority, or take a class with preemptionPolicy Never",
                _LOOK_AGAIN_SECONDS,
            )


class PoolLook:
    """Counts what is used and free in the pools of ComputeTargets."""

    def __init__(self, counts: Counts, wake: Callable[[Key], None]) -> None:
        self._counts = counts
        self._wake = wake

    def look(self, place: Place) -> FpgaPlaceStatus | Uncounted:
        """Count the devices of a pool."""
        pool, key = place.spec.fpga, Key("", place.metadata.name)
        if pool is None:
            raise Terminal(Reason.CONFIG_INVALID, f"ComputeTarget {place.metadata.name} has no fpga")
        device = pool_device(pool)
        counting = self._counts.of(device, key, partial(self._wake, key))
        room = counting.room(device.name, pool.node_selector or {}, pool.tolerations or ())
        return room if isinstance(room, Uncounted) else fpga_plan.pool_status(room)

    def forget(self, key: Key) -> None:
        """Tell a ComputeTarget no more of its devices."""
        self._counts.forget(key)
