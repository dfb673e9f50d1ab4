"""The target `IoTEdge`: layered deployments of a hub, brought on their way step by step."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from berth.api.conditions import Reason
from berth.api.serving import DeletionPolicy
from berth.api.status import FailingDevice
from berth.core.errors import Gone, Postponed, Terminal, Transient
from berth.core.keys import Key
from berth.core.results import INTERVAL_SECONDS, SLOW_ROUND_SECONDS, Done, RequeueAfter, Result
from berth.plan import edge_plan, edge_query
from berth.plan.edge_deployment import Desired, Recipe, desired_deployment, needed
from berth.plan.edge_fleet import (
    MOST_NAMED,
    Counts,
    Live,
    counted,
    failing_devices,
    fails,
    overruled_devices,
    own_deployments,
    rivals,
    untold_devices,
)
from berth.plan.edge_plan import BUSY_SECONDS, Plan, Sight, rollout_of
from berth.plan.edge_rollout import (
    REFUSED,
    Create,
    Refuse,
    Remove,
    Update,
    current_of,
    document,
    returned_to,
    wants_devices,
)
from berth.plan.edge_status import Fleet
from berth.plan.group_names import Owner
from berth.plan.group_retention import is_abandoned
from berth.plan.observed import FINALIZER
from berth.plan.report import is_ready
from berth.plan.resources import MODEL_DEPLOYMENTS
from berth.plan.subject import Subject
from berth.targets.aci_content import Contents
from berth.targets.base import Cluster, Object
from berth.targets.finalizer import hold, release
from berth.targets.iot_hubs import HubListings, HubSite, HubSites

DELETION_POLL_SECONDS = 5.0

_CLOSELY = 100
"""Devices from which on the hub's counts are gone by."""


@dataclass(frozen=True, slots=True)
class _Look:
    """What was seen of the devices, and what the hub had counted by then."""

    at: float
    about: tuple[str, str, Counts]
    counts: Counts
    failing: tuple[FailingDevice, ...] = ()
    untold: tuple[FailingDevice, ...] = ()


@dataclass(slots=True)
class _Memory:
    """What spares calls; a new operator does without."""

    site: HubSite
    seen_at: float = float("-inf")
    """When all that was asked for was answered."""
    last: _Look | None = None


class IotEdgeTarget:
    """Serves models on devices; what it must not forget is in the hub."""

    def __init__(
        self,
        api: Cluster,
        *,
        sites: HubSites,
        contents: Contents,
        listings: HubListings,
        image: str,
        clock: Callable[[], float],
    ) -> None:
        self._api = api
        self._sites = sites
        self._contents = contents
        self._listings = listings
        self._image = image
        self._clock = clock
        self._memories: dict[Key, _Memory] = {}

    async def observe(self, subject: Subject) -> Sight:
        """Read what is wanted and what is there; devices that are well stay so while the hub is silent."""
        try:
            sight = await self._observe(subject)
        except Transient as error:
            memory = self._memories.get(subject.key)
            if memory and is_ready(subject) and self._clock() - memory.seen_at < SLOW_ROUND_SECONDS:
                raise Postponed(error.message, error.retry_after or INTERVAL_SECONDS) from error
            raise
        self._memories[subject.key].seen_at = self._clock()
        return sight

    async def _observe(self, subject: Subject) -> Sight:
        await self._sites.admit(subject)
        site = await self._sites.site_of(subject)
        memory = self._memories.setdefault(subject.key, _Memory(site))
        memory.site = site
        recipe = await self._recipe(subject, site)
        longest = INTERVAL_SECONDS if is_ready(subject) else BUSY_SECONDS
        listing = await self._listings.recent(site, longest)
        live = own_deployments(recipe.owner, listing.documents)
        key = await self._contents.fingerprint_key()
        desired = desired_deployment(recipe, self._image, key, [dict(each.document) for each in live])
        counted = current_of(desired, live) or returned_to(desired, live)
        fleet = Fleet(
            room=listing.room(site.place, recipe.cluster),
            rivals=sorted(rivals(recipe.owner, desired.module, listing.documents)),
        )
        if counted is not None:
            look = await self._look(subject, memory, desired, counted)
            fleet = replace(fleet, counts=look.counts, failing=look.failing, untold=look.untold)
        return Sight(desired, live, fleet)

    def plan(self, subject: Subject, observation: Sight, now: datetime) -> Plan:
        """Decide on steps and status."""
        return edge_plan.plan(subject, observation, now)

    async def act(self, subject: Subject, plan: Plan) -> None:
        """Carry out the steps; the next pass sees what came of them."""
        await hold(self._api, MODEL_DEPLOYMENTS, subject.metadata)
        site = self._memories[subject.key].site
        for step in plan.steps:
            try:
                await self._take(subject, site, plan.desired, step)
            finally:
                self._listings.changed(site)

    async def end(self, subject: Subject) -> Result:
        """Delete the deployments, and let the ModelDeployment go once the hub shows none."""
        if FINALIZER not in subject.metadata.finalizers:
            return Done()
        is_kept = subject.spec.deletion_policy is DeletionPolicy.RETAIN
        if not (is_kept or is_abandoned(subject)):
            site = await self._sites.site_of(subject)
            if left := await self._left(site, subject):
                for live in left:
                    await self._remove(site, live)
                return RequeueAfter(DELETION_POLL_SECONDS)
        await release(self._api, MODEL_DEPLOYMENTS, subject.metadata)
        return Done()

    def forget(self, key: Key) -> None:
        """Ask no more."""
        self._memories.pop(key, None)

    async def _recipe(self, subject: Subject, site: HubSite) -> Recipe:
        names = needed(subject, site.place)
        content = await self._contents.entries(subject.metadata.namespace, names)
        return Recipe(subject, site.place, await self._contents.cluster(), content)

    async def _look(self, subject: Subject, memory: _Memory, desired: Desired, current: Live) -> _Look:
        """Go by the hub's metrics; those of a small fleet, which are minutes old, are looked at closely.

        A close look holds until metrics change; it is taken again while the fleet is not well.
        """
        last, about = memory.last, (current.id, current.etag, current.counts)
        longest = SLOW_ROUND_SECONDS if is_ready(subject) else BUSY_SECONDS
        if last and last.about == about and self._clock() - last.at < longest:
            return last
        try:
            if (current.counts.targeted or 0) < _CLOSELY:
                memory.last = await self._look_closely(memory.site, desired, current)
            else:
                memory.last = await self._look_from_afar(memory.site, desired, current)
        except Postponed:
            if last is None or last.about[:2] != about[:2]:
                return _Look(self._clock(), about, current.counts_of(desired))
        return memory.last or _Look(self._clock(), about, current.counts_of(desired))

    async def _look_closely(self, site: HubSite, desired: Desired, current: Live) -> _Look:
        """Read what the agents of all devices say."""
        chosen = await site.hub.query(edge_query.targeted(current.condition), most=_CLOSELY)
        if len(chosen) == _CLOSELY:
            return await self._look_from_afar(site, desired, current)
        twins = await site.hub.query(edge_query.applied_twins(current.id), most=_CLOSELY)
        return _Look(
            self._clock(),
            (current.id, current.etag, current.counts),
            counted(chosen, twins, desired),
            failing_devices([twin for twin in twins if fails(twin, desired)], desired.module),
            (*untold_devices(chosen, twins), *overruled_devices(twins, desired)),
        )

    async def _look_from_afar(self, site: HubSite, desired: Desired, current: Live) -> _Look:
        """Go by what the hub has counted, and read what some of the devices that fail say."""
        counts = current.counts_of(desired)
        twins: list[Object] = []
        if counts.failed:
            query = edge_query.failing_twins(current.id, desired.module, desired.version)
            twins = await site.hub.query(query, most=MOST_NAMED)
        failing = failing_devices(twins, desired.module)
        return _Look(self._clock(), (current.id, current.etag, current.counts), counts, failing)

    async def _take(
        self, subject: Subject, site: HubSite, desired: Desired, step: Create | Update | Refuse | Remove
    ) -> None:
        match step:
            case Create():
                told = await self._document(subject, site, desired, step)
                await self._test(site, told)
                await site.hub.create(told)
            case Update(live):
                told = await self._document(subject, site, desired, step)
                await self._test(site, told)
                await site.hub.update(told, live.etag)
            case Refuse(live, attempt):
                await site.hub.update(live.relabelled({REFUSED: attempt}), live.etag)
            case Remove(live):
                await self._remove(site, live)

    async def _document(
        self, subject: Subject, site: HubSite, desired: Desired, step: Create | Update
    ) -> Object:
        rollout = rollout_of(subject)
        ids: Sequence[str] = ()
        if wants_devices(rollout, step.stage):
            query = edge_query.targeted(desired.condition)
            found = await site.hub.query(query, most=edge_query.MOST_RANKED + 1)
            ids = edge_query.few_enough([each["deviceId"] for each in found])
        told = document(desired, rollout, step, ids)
        if isinstance(step, Update) and (refused := step.live.labels.get(REFUSED)):
            told["labels"][REFUSED] = refused
        return told

    async def _test(self, site: HubSite, told: Object) -> None:
        """Let the hub read what it shall obey; raises Terminal with its words."""
        answer = await site.hub.test(told["targetCondition"], told["metrics"]["queries"])
        if wrong := answer.get("targetConditionError"):
            raise Terminal(Reason.CONFIG_INVALID, f"The hub does not take the target condition: {wrong}")
        for name, words in sorted((answer.get("customMetricQueryErrors") or {}).items()):
            told_why = f"The hub does not take the query of metric {name}: {words}"
            raise Terminal(Reason.CONFIG_INVALID, told_why)

    async def _remove(self, site: HubSite, live: Live) -> None:
        try:
            with contextlib.suppress(Gone):
                await site.hub.delete(live.id, live.etag)
        finally:
            self._listings.changed(site)

    async def _left(self, site: HubSite, subject: Subject) -> tuple[Live, ...]:
        owner = Owner.of(subject, await self._contents.cluster())
        return own_deployments(owner, (await self._listings.recent(site, DELETION_POLL_SECONDS)).documents)
