"""Deletes container groups of this cluster whose ModelDeployment is gone: each of them costs money."""

import logging
from collections.abc import Callable
from functools import partial
from typing import Protocol

from berth.core.errors import Gone, Terminal
from berth.core.keys import Key
from berth.core.store import Store
from berth.plan.compute_target_status import Place
from berth.plan.group_names import Owner
from berth.plan.group_retention import is_retained, retained_tags
from berth.plan.observed import Observed, narrow_model_deployment
from berth.plan.orphans import Suspect, due, is_wanted, suspects, unwanted
from berth.plan.report import Event
from berth.plan.resources import MODEL_DEPLOYMENTS
from berth.plan.subject import Subject
from berth.targets.aci_content import Contents
from berth.targets.aci_listing import Listing, Listings
from berth.targets.azure import Places, Site
from berth.targets.base import Cluster

logger = logging.getLogger(__name__)

Spot = tuple[str, str, str]


class Recorder(Protocol):
    """Tells users what happened; never fails and never waits."""

    def record_about(self, key: Key, uid: str, event: Event) -> None:
        """Post a Kubernetes Event about an object that may be gone."""


class SweepObserver:
    """Hears what the sweeper does and does nothing; telemetry overrides it."""

    def orphans(self, count: int) -> None:
        """Hear how many groups have lost their ModelDeployment."""

    def orphan_deleted(self) -> None:
        """Hear that the deletion of one has begun."""


class Sweeper:
    """Looks for orphans in the lists that ComputeTargets are told by, and remembers since when they are.

    A new process forgets, so that its grace period begins anew.
    """

    def __init__(
        self,
        api: Cluster,
        *,
        subjects: Store[Key, Observed],
        places: Places,
        contents: Contents,
        listings: Listings,
        recorder: Recorder,
        observer: SweepObserver,
        serves: Callable[[str], bool],
        grace: float,
    ) -> None:
        self._api = api
        self._subjects = subjects
        self._places = places
        self._contents = contents
        self._listings = listings
        self._recorder = recorder
        self._observer = observer
        self._serves = serves
        self._grace = grace
        self._seen: dict[Key, dict[Spot, Suspect]] = {}

    async def sweep(self, place: Place) -> None:
        """Look where a ComputeTarget points, and delete what was an orphan for long enough."""
        site = await self._places.site(place)
        listing = await self._listings.recent(site)
        await self._mark_abandoned(place, site, listing)
        found = unwanted(listing.groups, await self._contents.cluster(), partial(self._is_wanted, site))
        spots = {_spot(site, name): owner for name, owner in found.items()}
        key = Key("", place.metadata.name)
        seen = self._seen[key] = suspects(spots, self._seen.get(key, {}), listing.at)
        self._tell()
        for spot in due(seen, listing.at, self._grace):
            owner = seen[spot].owner
            seen[spot] = Suspect(owner, listing.at)  # whatever comes of it is looked at a grace period later
            await self._delete(site, spot[-1], owner)

    def forget(self, place: Key) -> None:
        """Look no more where a ComputeTarget pointed."""
        if self._seen.pop(place, None):
            self._tell()

    def _is_wanted(self, site: Site, owner: Owner) -> bool:
        return not self._serves(owner.namespace) or self._wants(
            site, owner, self._subjects.get(Key(owner.namespace, owner.name))
        )

    def _wants(self, site: Site, owner: Owner, observed: Observed | None) -> bool:
        try:
            subject = Subject.parse(observed) if observed else None
            there = self._places.pointed_at(subject) if subject else None
        except Terminal:  # what cannot be read may be wanted
            return True
        return is_wanted(owner, subject, there, site.place)

    async def _delete(self, site: Site, name: str, owner: Owner) -> None:
        """Begin to delete a group, unless the API server or Azure tells something else than the lists did."""
        if self._wants(site, owner, await self._asked(owner)):
            return
        try:
            group = (await site.groups.get(site.resource_group, name)).body
            if Owner.read(group) != owner or is_retained(group):
                return
            await site.groups.delete(site.resource_group, name)
        except Gone:
            return
        note = f"Container group {name} was left behind by {owner.namespace}/{owner.name} and is deleted"
        about = {"namespace": owner.namespace, "name": owner.name, "uid": owner.uid}
        logger.warning("%s", note, extra={"about": about})
        event = Event("OrphanDeleted", note, is_warning=True)
        self._recorder.record_about(Key(owner.namespace, owner.name), owner.uid, event)
        self._observer.orphan_deleted()

    async def _asked(self, owner: Owner) -> Observed | None:
        """Ask the API server itself: a watch can be late."""
        only = f"metadata.name={owner.name}"
        listing = await self._api.list(MODEL_DEPLOYMENTS, owner.namespace, fields=only)
        return next(map(narrow_model_deployment, listing.items), None)

    async def _mark_abandoned(self, place: Place, site: Site, listing: Listing) -> None:
        """Carry over to the groups' tags what was abandoned while Azure was not asked."""
        cluster = await self._contents.cluster()
        for uid in place.abandoned:
            left = [
                listing.groups[name]
                for name, owner in listing.owners.items()
                if (owner.cluster, owner.uid) == (cluster, uid)
            ]
            for group in left:
                if not is_retained(group):
                    await site.groups.tag(site.resource_group, group["name"], retained_tags(group))
            if left and all(map(is_retained, left)):
                await self._places.forget_abandoned(place, uid)

    def _tell(self) -> None:
        self._observer.orphans(len({spot for seen in self._seen.values() for spot in seen}))


def _spot(site: Site, name: str) -> Spot:
    return site.place.subscription_id.lower(), site.resource_group.lower(), name
