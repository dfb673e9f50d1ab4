"""The target `ACI`: an Azure container group, brought on its way step by step and looked at again."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, Protocol

from berth.api.aci import AciTarget as AciSettings
from berth.api.conditions import Reason
from berth.core.backoff import Backoff
from berth.core.errors import Gone, Immutable, Postponed, Terminal, Transient
from berth.core.keys import Key
from berth.core.results import INTERVAL_SECONDS, SLOW_ROUND_SECONDS, Done, RequeueAfter, Result
from berth.plan import group_plan
from berth.plan.causes import FETCH_CONTAINER
from berth.plan.container_group import Desired, Recipe, desired_group
from berth.plan.group_causes import init_containers, telling
from berth.plan.group_changes import Update, Way, update
from berth.plan.group_content import certificate_files
from berth.plan.group_endpoint import observed_root, readiness_url
from berth.plan.group_names import Owner
from berth.plan.group_plan import Delete, Plan, Put, Sight, Start, Step, Tag
from berth.plan.group_quota import read_room
from berth.plan.group_retention import is_abandoned, is_retained, retained_tags, retains
from berth.plan.group_slots import Outlook, Work, look, told_slot
from berth.plan.group_status import Observation, is_serving
from berth.plan.group_succession import Succession, plan_succession, unvalidated
from berth.plan.group_tls import observed_certificate
from berth.plan.observed import FINALIZER
from berth.plan.report import is_ready
from berth.plan.resources import MODEL_DEPLOYMENTS
from berth.plan.subject import Subject
from berth.plan.validation import Golden
from berth.targets.aci_content import Contents
from berth.targets.aci_groups import left_groups, read_groups
from berth.targets.aci_line import Lines
from berth.targets.aci_listing import Listings
from berth.targets.aci_memory import Known, Memory
from berth.targets.aci_refusals import Refusals
from berth.targets.azure import Places, Site
from berth.targets.base import Cluster
from berth.targets.finalizer import hold, release
from berth.targets.golden import GoldenRequests

Json = Mapping[str, Any]


class Probes(Protocol):
    """Asks endpoints whether they are ready, beside the passes."""

    async def answers(self, key: Key, url: str, certificate: bytes | None) -> bool:
        """Tell whether an endpoint answers, as far as is known; a change of that brings another pass.

        By HTTPS it must show the certificate of this SHA-256, if one is given.
        """

    def forget(self, key: Key) -> None:
        """Ask no more on behalf of a ModelDeployment."""


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
        self._memories: dict[Key, Memory] = {}
        self._looks: Backoff[Key] = Backoff(base=group_plan.DELETION_POLL_SECONDS, cap=30.0)

    async def observe(self, subject: Subject) -> Sight | Succession:
        """Read what is wanted and what is there."""
        try:
            return await self._observe(subject)
        except Terminal:
            self._lines.forget(subject.key)  # who cannot go on lets the others pass
            raise
        except Transient as error:
            if await self._serves_on(subject):
                wait = error.retry_after or INTERVAL_SECONDS
                raise Postponed(error.message, wait) from error
            raise

    async def _observe(self, subject: Subject) -> Sight | Succession:
        await self._places.admit(subject)
        site = await self._places.site_of(subject)
        memory = self._memories.setdefault(subject.key, Memory(site))
        memory.begin_pass(site)
        content = await self._contents.read(subject, site)
        certificate_files(subject, content)  # what no server takes is told before Azure is asked for anything
        recipe = Recipe(subject, site.place, await self._contents.cluster(), content)
        recipe = replace(recipe, slot=told_slot(recipe))
        key = await self._contents.fingerprint_key()
        if (steady := await self._steady(site, recipe, key)) is not None:
            return steady
        groups = await read_groups(site, recipe, self._listings)

        def build(recipe: Recipe, group: Json | None) -> Desired:
            return desired_group(recipe, self._image, key, group)

        pace = partial(memory.paced, subject, now=self._clock())
        return await self._seen(site, look(recipe, groups, build, pace))

    async def _seen(self, site: Site, outlook: Outlook) -> Sight | Succession:
        work, live = outlook.work, outlook.live
        if live is None:
            memory = self._memories[work.recipe.subject.key]
            sight = await self._sight(site, memory.retried(work, now=self._clock()))
            return replace(sight, strays=outlook.strays)
        subject = unvalidated(work.recipe.subject)
        heir = replace(work, recipe=replace(work.recipe, subject=subject))
        if outlook.is_refused:
            self._lines.forget(subject.key)
            sight = Sight(heir.desired, heir.change, Observation(heir.group, heir.change.way))
        else:
            sight = await self._sight(site, heir)
        return Succession(
            live,
            await self._answers(live),
            replace(sight, strays=outlook.strays),
            outlook.drifted,
            is_refused=outlook.is_refused,
        )

    async def _sight(self, site: Site, work: Work) -> Sight:
        if work.group is None:
            return await self._absent(site, work.recipe, work.desired)
        return await self._present(site, work.recipe, work.desired, work.group, work.change)

    def plan(self, subject: Subject, observation: Sight | Succession, now: datetime) -> Plan:
        """Decide on steps and status."""
        if isinstance(observation, Succession):
            return plan_succession(subject, observation, now)
        return group_plan.plan(subject, observation, now)

    async def act(self, subject: Subject, plan: Plan) -> None:
        """Begin what the plan says; the next pass sees how it went."""
        await hold(self._api, MODEL_DEPLOYMENTS, subject.metadata)
        memory = self._memories[subject.key]
        for step in plan.steps:
            memory.known = None
            with self._refusals.heard(memory.site):
                await self._take(subject, memory.site, step)
            memory.note_step()
        if not plan.steps and plan.is_ready:
            await self._contents.drop_keys(subject)

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

    async def _serves_on(self, subject: Subject) -> bool:
        """Tell whether all is well though Azure cannot be asked: whom nobody can ask gets a slow round."""
        memory = self._memories.get(subject.key)
        known = memory.known if memory else None
        if known is None or known.uid != subject.metadata.uid or not is_ready(subject):
            return False
        answers = await self._answers(known.group)
        return self._clock() - known.at < SLOW_ROUND_SECONDS if answers is None else answers

    async def _steady(self, site: Site, recipe: Recipe, key: bytes) -> Sight | None:
        """Go by the list, which shows neither crash nor stop, where all was well and is as it was."""
        subject, known = recipe.subject, self._memories[recipe.subject.key].known
        if known is None or known.uid != subject.metadata.uid or not is_ready(subject):
            return None
        listing = await self._listings.recent(site)
        if listing.of(recipe.owner) != [recipe.name] or self._clock() - known.at >= SLOW_ROUND_SECONDS:
            return None
        entry = listing.groups[recipe.name]
        desired = desired_group(recipe, self._image, key, entry)
        is_same = update(desired, entry).way is Way.NOTHING
        if not is_same or not await self._answers(known.group):  # GET tells why, or what nobody can ask
            return None
        return Sight(desired, Update(Way.NOTHING), Observation(known.group, answers=True))

    async def _absent(self, site: Site, recipe: Recipe, desired: Desired) -> Sight:
        """Ask for room: the answer of a refused PUT tells less."""
        ahead = self._lines.join(recipe.subject, site, recipe.location)
        listing = await self._listings.recent(site)
        own = listing.of_cluster(recipe.cluster) | self._lines.granted(site)
        usages = (await site.groups.usages(recipe.location)).body
        room = read_room(usages, recipe.location, site.place.quota, len(own - {recipe.name}))
        self._lines.hold(recipe.subject.key, room is not None and room.is_quota_used_up)
        return Sight(desired, Update(Way.NOTHING), Observation(room=room, ahead=ahead))

    async def _present(
        self, site: Site, recipe: Recipe, desired: Desired, group: Json, change: Update
    ) -> Sight:
        subject = recipe.subject
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
            memory.known, memory.setback = Known(subject.metadata.uid, self._clock(), group), None
        return Sight(desired, change, seen)

    async def _answers(self, group: Json) -> bool | None:
        """Ask at a public address alone: the operator may have no way into a subnet."""
        given = group["properties"].get("ipAddress") or {}
        if not is_serving(group) or given.get("type") != "Public":
            return None
        owner = Owner.read(group)
        if owner is None:
            return None
        key = Key(owner.namespace, owner.name)
        return await self._probes.answers(key, readiness_url(group), observed_certificate(group))

    def _golden_outcome(
        self, subject: Subject, desired: Desired, change: Update, group: Json
    ) -> Golden | None:
        if subject.spec.validation and change.way is Way.NOTHING and is_serving(group):
            certificate = observed_certificate(group)
            root = observed_root(group)
            return self._golden.outcome_of_group(subject, root, desired.fingerprint, certificate)
        self._golden.forget(subject.key)
        return None

    async def _logs(self, site: Site, subject: Subject, group: Json) -> dict[str, str]:
        words = self._memories[subject.key].last_words
        unread = [each.name for each in telling(group) if not (each.is_running and each.name in words)]
        for container in [*unread, *_fetched_unseen(subject, group)]:
            with contextlib.suppress(Transient, Gone):  # there is none yet
                log = await site.groups.logs(site.resource_group, group["name"], container)
                words[container] = log or words.get(container, "")
        return dict(words)

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

    async def _left(self, site: Site, subject: Subject) -> list[Json]:
        """Return the groups that are still there."""
        owner = Owner.of(subject, await self._contents.cluster())
        location = (subject.spec.aci or AciSettings()).location or site.place.location
        try:
            return await left_groups(site, owner, location, self._listings)
        except Terminal as error:
            if error.reason is Reason.RESOURCE_GROUP_NOT_FOUND:
                return []
            raise


def _fetched_unseen(subject: Subject, group: Json) -> Iterator[str]:
    """Name the container that tells of digests, until they are in status."""
    is_fetched = any(each.name == FETCH_CONTAINER for each in init_containers(group)) and is_serving(group)
    if is_fetched and not is_ready(subject) and not all(model.sha256 for model in subject.spec.all_models):
        yield FETCH_CONTAINER
