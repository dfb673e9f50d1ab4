"""The target `IoTEdge`: layered deployments of a hub, brought on their way step by step."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from berth.api.conditions import Reason
from berth.api.serving import DeletionPolicy
from berth.api.status import FailingDevice
from berth.core.errors import Gone, Postponed, Terminal
from berth.core.keys import Key
from berth.core.results import Done, RequeueAfter, Result
from berth.plan import edge_plan, edge_query
from berth.plan.edge_deployment import Desired, Recipe, desired_deployment, needed
from berth.plan.edge_fleet import Counts, Live, failing_devices, own_deployments, rivals, untold_devices
from berth.plan.edge_plan import BUSY_SECONDS, INTERVAL_SECONDS, Plan, Sight, rollout_of
from berth.plan.edge_rollout import (
    REFUSED,
    Create,
    Refuse,
    Remove,
    Update,
    current_of,
    document,
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

_PAGE = 100
_NAMED = 10


@dataclass(slots=True)
class _Memory:
    """What spares calls; a new operator does without."""

    site: HubSite
    counted_at: float = float("-inf")
    asked_at: float = float("-inf")
    asked_about: tuple[str, Counts] | None = None
    failing: tuple[FailingDevice, ...] = ()
    counted: Counts = field(default_factory=Counts)


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
        """Read what is wanted and what is there."""
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
        current = current_of(desired, live)
        fleet = Fleet(
            room=listing.room(site.place, recipe.cluster),
            rivals=sorted(rivals(recipe.owner, desired.module, listing.documents)),
        )
        if current is not None:
            counts = await self._counts(memory, desired, current)
            failing = await self._failing(memory, desired, current, counts)
            fleet = replace(fleet, counts=counts, failing=failing)
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

    async def _counts(self, memory: _Memory, desired: Desired, current: Live) -> Counts:
        """Go by the hub's own metrics; what it has no room to keep is asked for, and only now and then."""
        counts = current.counts
        kept = desired.queries(current.id)
        missing = {name: query for name, query in desired.own_queries(current.id).items() if name not in kept}
        if not missing:
            return counts
        if self._clock() - memory.counted_at >= INTERVAL_SECONDS:
            memory.counted_at = self._clock()
            with contextlib.suppress(Postponed):
                results = {name: await self._count(memory.site, query) for name, query in missing.items()}
                memory.counted = counts.with_results(results)
        return counts.or_else(memory.counted)

    async def _failing(
        self, memory: _Memory, desired: Desired, current: Live, counts: Counts
    ) -> tuple[FailingDevice, ...]:
        """Name devices that are not well: asked once for each news of counts, and at most once a minute."""
        missing = (counts.targeted or 0) - (counts.applied or 0) if counts.applied is not None else 0
        if not counts.failed and missing <= 0:
            memory.asked_about, memory.failing = None, ()
            return ()
        about = (current.id, counts)
        if memory.asked_about == about and self._clock() - memory.asked_at < 10 * INTERVAL_SECONDS:
            return memory.failing
        if self._clock() - memory.asked_at < BUSY_SECONDS:
            return memory.failing
        with contextlib.suppress(Postponed):
            memory.asked_at = self._clock()
            memory.failing = await self._ask(memory.site, desired, current, counts, missing)
            memory.asked_about = about
        return memory.failing

    async def _ask(
        self, site: HubSite, desired: Desired, current: Live, counts: Counts, missing: int
    ) -> tuple[FailingDevice, ...]:
        found: tuple[FailingDevice, ...] = ()
        if counts.failed:
            query = edge_query.failing_twins(current.id, desired.module, desired.version)
            found = failing_devices(await site.hub.query(query, most=_NAMED), desired.module)
        if missing > 0 and (counts.targeted or 0) <= _PAGE:
            chosen = await site.hub.query(edge_query.targeted(current.condition), most=_PAGE)
            told = await site.hub.query(edge_query.applied(current.id), most=_PAGE)
            known = {each.device_id for each in found}
            found += tuple(each for each in untold_devices(chosen, told) if each.device_id not in known)
        return found[:_NAMED]

    async def _count(self, site: HubSite, query: str) -> int:
        rows = await site.hub.query(edge_query.counted(query), most=1)
        return int(next(iter(rows[0].values()))) if rows else 0

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
            case Refuse(live, fingerprint):
                await site.hub.update(live.relabelled({REFUSED: fingerprint}), live.etag)
            case Remove(live):
                await self._remove(site, live)

    async def _document(
        self, subject: Subject, site: HubSite, desired: Desired, step: Create | Update
    ) -> Object:
        rollout = rollout_of(subject)
        ids: Sequence[str] = ()
        if wants_devices(rollout, step.stage):
            pages = edge_query.MOST_RANKED // _PAGE + 1
            query = edge_query.targeted(desired.condition)
            ids = [each["deviceId"] for each in await site.hub.query(query, most=_PAGE, pages=pages)]
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
