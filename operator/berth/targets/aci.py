"""The target `ACI`: an Azure container group, brought on its way step by step and looked at again."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol

from berth.api.aci import AciTarget as AciSettings
from berth.api.conditions import Reason
from berth.core.backoff import Backoff
from berth.core.errors import Gone, Immutable, Terminal, Transient
from berth.core.keys import Key
from berth.core.results import Done, RequeueAfter, Result
from berth.plan import group_plan
from berth.plan.causes import FETCH_CONTAINER
from berth.plan.container_group import Desired, Recipe, desired_group
from berth.plan.group_causes import init_containers, telling
from berth.plan.group_changes import Update, Way, update
from berth.plan.group_endpoint import observed_endpoint
from berth.plan.group_names import Owner, group_name, refuse_stranger
from berth.plan.group_plan import Delete, Plan, Put, Sight, Start, Step, Tag
from berth.plan.group_quota import read_room
from berth.plan.group_recovery import Setback, has_ended, is_due, is_given_up, setback
from berth.plan.group_retention import is_abandoned, is_retained, retained_tags, retains
from berth.plan.group_status import Observation, is_serving
from berth.plan.observed import FINALIZER
from berth.plan.report import is_ready
from berth.plan.resources import MODEL_DEPLOYMENTS
from berth.plan.subject import Subject
from berth.plan.validation import Golden
from berth.targets.aci_content import Contents
from berth.targets.aci_line import Lines
from berth.targets.aci_listing import Listings
from berth.targets.aci_refusals import Refusals
from berth.targets.azure import Places, Site
from berth.targets.base import Cluster
from berth.targets.finalizer import hold, release
from berth.targets.golden import GoldenRequests

SLOW_ROUND_SECONDS = 600.0
"""A list shows neither a crash nor a stop: each group is read this often at least."""

Json = Mapping[str, Any]


class Probes(Protocol):
    """Asks endpoints whether they are ready, beside the passes."""

    async def answers(self, key: Key, url: str) -> bool:
        """Tell whether an endpoint answers, as far as is known; a change of that brings another pass."""

    def forget(self, key: Key) -> None:
        """Ask no more on behalf of a ModelDeployment."""


@dataclass(frozen=True, slots=True)
class _Repair:
    """What was put back, of what was wanted."""

    at: float
    fingerprint: str
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Known:
    """What the last GET showed of a group that served."""

    uid: str
    at: float
    group: Json


@dataclass(slots=True)
class _Memory:
    """What spares calls; a new operator does without."""

    site: Site
    known: _Known | None = None
    begun: _Repair | None = None
    """What this pass puts back."""
    repair: _Repair | None = None
    """What an earlier one has put back."""
    retry: Setback | None = None
    """What this pass makes again."""
    setback: Setback | None = None
    """What Azure has given up, and earlier passes have made again."""


class AciTarget:
    """Serves models in Azure container groups, of which it remembers nothing that must not be lost."""

    def __init__(
        self,
        api: Cluster,
        *,
        places: Places,
        contents: Contents,
        listings: Listings,
        refusals: Refusals,
        image: str,
        probes: Probes,
        golden: GoldenRequests,
        clock: Callable[[], float],
    ) -> None:
        self._api = api
        self._places = places
        self._contents = contents
        self._listings = listings
        self._refusals = refusals
        self._image = image
        self._probes = probes
        self._golden = golden
        self._clock = clock
        self._lines = Lines()
        self._looks: Backoff[Key] = Backoff(base=group_plan.DELETION_POLL_SECONDS, cap=30.0)
        self._memories: dict[Key, _Memory] = {}

    async def observe(self, subject: Subject) -> Sight:
        """Read what is wanted and what is there."""
        try:
            return await self._observe(subject)
        except Terminal:
            self._lines.forget(subject.key)  # who cannot go on lets the others pass
            raise

    async def _observe(self, subject: Subject) -> Sight:
        await self._places.admit(subject)
        site = await self._places.site_of(subject)
        memory = self._memories.setdefault(subject.key, _Memory(site))
        memory.site, memory.begun, memory.retry = site, None, None
        content = await self._contents.read(subject, site)
        recipe = Recipe(subject, site.place, await self._contents.cluster(), content)
        key = await self._contents.fingerprint_key()
        if (steady := await self._steady(site, recipe, key)) is not None:
            return steady
        group = await self._get(site, recipe.name)
        if group is None:
            return await self._absent(site, recipe, desired_group(recipe, self._image, key, None))
        refuse_stranger(recipe.owner, group)
        desired = desired_group(recipe, self._image, key, group)
        return await self._present(site, recipe, desired, group)

    def plan(self, subject: Subject, observation: Sight, now: datetime) -> Plan:
        """Decide on steps and status."""
        return group_plan.plan(subject, observation, now)

    async def act(self, subject: Subject, plan: Plan) -> None:
        """Begin what the plan says; the next pass sees how it went."""
        await hold(self._api, MODEL_DEPLOYMENTS, subject.metadata)
        memory = self._memories[subject.key]
        for step in plan.steps:
            memory.known = None
            with self._refusals.heard(memory.site):
                await self._take(subject, memory.site, step)
        memory.repair = memory.begun or memory.repair
        memory.setback = memory.retry or memory.setback

    async def end(self, subject: Subject) -> Result:
        """Delete the group, and let the ModelDeployment go once Azure says that there is none."""
        if FINALIZER not in subject.metadata.finalizers:
            return Done()
        if is_abandoned(subject):
            await self._places.abandon(subject)
        elif retains(subject):
            await self._keep(subject)
        elif await self._delete_all(subject):
            return RequeueAfter(self._looks.next(subject.key))
        await release(self._api, MODEL_DEPLOYMENTS, subject.metadata)
        self._looks.reset(subject.key)
        return Done()

    def forget(self, key: Key) -> None:
        """Wait and ask no more."""
        self._lines.forget(key)
        self._golden.forget(key)
        self._probes.forget(key)
        self._memories.pop(key, None)

    async def _steady(self, site: Site, recipe: Recipe, key: bytes) -> Sight | None:
        """Go by the list where all was well before and nothing in it differs."""
        subject, known = recipe.subject, self._memories[recipe.subject.key].known
        if known is None or known.uid != subject.metadata.uid or not is_ready(subject):
            return None
        listing = await self._listings.recent(site)
        entry = listing.groups.get(recipe.name)
        if entry is None or self._clock() - known.at >= SLOW_ROUND_SECONDS:
            return None
        desired = desired_group(recipe, self._image, key, entry)
        is_same = update(desired, entry).way is Way.NOTHING
        if not is_same or not await self._answers(known.group):  # GET tells why, or what nobody can ask
            return None
        strays = [name for name in listing.of(recipe.owner) if name != recipe.name]
        return Sight(desired, Update(Way.NOTHING), Observation(known.group, answers=True), strays)

    async def _absent(self, site: Site, recipe: Recipe, desired: Desired) -> Sight:
        """Ask for room: the answer of a refused PUT tells less."""
        ahead = self._lines.join(recipe.subject, site, recipe.location)
        listing = await self._listings.recent(site)
        own = listing.of_cluster(recipe.cluster) | self._lines.granted(site)
        usages = (await site.groups.usages(recipe.location)).body
        room = read_room(usages, recipe.location, site.place.quota, len(own - {recipe.name}))
        self._lines.hold(recipe.subject.key, room is not None and room.is_quota_used_up)
        return Sight(desired, Update(Way.NOTHING), Observation(room=room, ahead=ahead))

    async def _present(self, site: Site, recipe: Recipe, desired: Desired, group: Json) -> Sight:
        subject, change = recipe.subject, self._paced(recipe.subject.key, desired, update(desired, group))
        change = self._retried(subject, desired, change, group)
        self._lines.grant(subject.key, site, recipe.name)
        seen = Observation(
            group,
            change.way,
            await self._logs(site, subject, group),
            await self._answers(group),
            self._golden_outcome(subject, desired, change, group),
        )
        if change.way is Way.NOTHING and is_serving(group) and seen.answers is not False:
            memory = self._memories[subject.key]
            memory.known, memory.setback = _Known(subject.metadata.uid, self._clock(), group), None
        return Sight(desired, change, seen)

    def _paced(self, key: Key, desired: Desired, change: Update) -> Update:
        """Put the same back once in a slow round: each time restarts, and a policy of Azure's would win."""
        if not change.drifted:
            return change
        memory, repair = self._memories[key], _Repair(self._clock(), desired.fingerprint, change.fields)
        last = memory.repair
        if last and replace(repair, at=last.at) == last and repair.at - last.at < SLOW_ROUND_SECONDS:
            return Update(Way.NOTHING)
        memory.begun = repair
        return change

    def _retried(self, subject: Subject, desired: Desired, change: Update, group: Json) -> Update:
        """Make again what Azure gave up, once its pause is over."""
        if change.way > Way.TAGS or not (is_given_up(group) or has_ended(group)):
            return change
        memory, now = self._memories[subject.key], self._clock()
        memory.setback = setback(memory.setback, desired.fingerprint, now)
        if not is_due(subject, group, memory.setback, now):
            return change
        memory.retry = memory.setback.again(now)
        return Update(Way.RECREATE)

    async def _answers(self, group: Json) -> bool | None:
        """Ask at a public address alone: the operator may have no way into a subnet."""
        given = group["properties"].get("ipAddress") or {}
        if not is_serving(group) or given.get("type") != "Public":
            return None
        owner = Owner.read(group)
        if owner is None:
            return None
        key = Key(owner.namespace, owner.name)
        return await self._probes.answers(key, f"{_root(group)}{_readiness_path(group)}")

    def _golden_outcome(
        self, subject: Subject, desired: Desired, change: Update, group: Json
    ) -> Golden | None:
        if subject.spec.validation and change.way is Way.NOTHING and is_serving(group):
            return self._golden.outcome(subject, _root(group), desired.fingerprint)
        self._golden.forget(subject.key)
        return None

    async def _logs(self, site: Site, subject: Subject, group: Json) -> dict[str, str]:
        logs = {}
        for container in _worth_reading(subject, group):
            with contextlib.suppress(Transient, Gone):  # there is none yet
                logs[container] = await site.groups.logs(site.resource_group, group["name"], container)
        return logs

    async def _take(self, subject: Subject, site: Site, step: Step) -> None:
        match step:
            case Put(name, body):
                await self._put(subject, site, name, body)
            case Tag(name, tags):
                await site.groups.tag(site.resource_group, name, tags)
            case Start(name):
                await site.groups.start(site.resource_group, name)
            case Delete(name):
                await self._delete(site, name)

    async def _put(self, subject: Subject, site: Site, name: str, body: Json) -> None:
        """Send the group; what Azure does not change in place is deleted, and made by a later pass."""
        self._lines.grant(subject.key, site, name)
        try:
            await site.groups.put(site.resource_group, name, dict(body))
        except Terminal:
            self._lines.forget(subject.key)
            raise
        except Immutable:
            await self._delete(site, name)

    async def _keep(self, subject: Subject) -> None:
        """See to it that the groups say that they stay, before nothing else says so any more."""
        site = await self._places.site_of(subject)
        for group in await self._left(site, subject):
            if not is_retained(group):
                with contextlib.suppress(Gone):
                    await site.groups.tag(site.resource_group, group["name"], retained_tags(group))

    async def _delete_all(self, subject: Subject) -> bool:
        """Begin to delete all groups, and tell whether there were any."""
        site = await self._places.site_of(subject)
        left = await self._left(site, subject)
        for group in left:
            with self._refusals.heard(site):
                await self._delete(site, group["name"])
        return bool(left)

    async def _delete(self, site: Site, name: str) -> None:
        with contextlib.suppress(Gone):
            await site.groups.delete(site.resource_group, name)

    async def _get(self, site: Site, name: str) -> Json | None:
        try:
            return (await site.groups.get(site.resource_group, name)).body
        except Gone:
            return None

    async def _left(self, site: Site, subject: Subject) -> list[Json]:
        """Return the groups that are still there: a list may lack one that was made a moment ago."""
        owner = Owner.of(subject, await self._contents.cluster())
        try:
            listing = await self._listings.fresh(site)
            if listed := [listing.groups[name] for name in listing.of(owner)]:
                return listed
            location = (subject.spec.aci or AciSettings()).location or site.place.location
            group = await self._get(site, group_name(owner, location))
        except Terminal as error:
            if error.reason is Reason.RESOURCE_GROUP_NOT_FOUND:
                return []
            raise
        return [group] if group and Owner.read(group) == owner else []


def _worth_reading(subject: Subject, group: Json) -> Iterator[str]:
    """Name the containers that tell of a failure and, until it is Ready, the one that tells of digests."""
    yield from telling(group)
    is_fetched = any(each.name == FETCH_CONTAINER for each in init_containers(group)) and is_serving(group)
    if is_fetched and not is_ready(subject) and not all(model.sha256 for model in subject.spec.all_models):
        yield FETCH_CONTAINER


def _root(group: Json) -> str:
    """Return the URL of the group; its name may be known later than its address."""
    return observed_endpoint(group).root(group["properties"]["ipAddress"]["ip"])


def _readiness_path(group: Json) -> str:
    probe = group["properties"]["containers"][0]["properties"].get("readinessProbe") or {}
    return str((probe.get("httpGet") or {}).get("path") or "/")
