"""One pass over one ComputeTarget: ask Azure what is free, and say so."""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

from berth.api.compute_target import ComputeTargetKind, ComputeTargetStatus
from berth.api.conditions import Condition, Reason
from berth.api.fpga_place import FpgaPlaceStatus
from berth.api.iot_hub import IotEdgePlaceStatus
from berth.core.errors import Postponed, ReconcileError, Terminal
from berth.core.keys import Key
from berth.core.results import INTERVAL_SECONDS, Done, RequeueAfter, Result
from berth.plan.azure_errors import Kind, Verdict
from berth.plan.compute_target_status import (
    Place,
    PlaceMetadata,
    PlaceObservation,
    compute_target_status,
    may_go,
    unreadable_place,
)
from berth.plan.devices import Uncounted
from berth.plan.group_quota import Room, read_room
from berth.plan.report import defect
from berth.plan.resources import COMPUTE_TARGETS, Resource
from berth.targets.aci_content import Contents
from berth.targets.aci_listing import Listings
from berth.targets.aci_refusals import Refusals
from berth.targets.aci_sweeper import Sweeper
from berth.targets.azure import Places, Site
from berth.targets.base import Cluster, Object
from berth.targets.finalizer import hold, release

logger = logging.getLogger(__name__)


class StatusApi(Cluster, Protocol):
    """A cluster whose objects have a status."""

    async def apply_status(self, resource: Resource, body: Object) -> Object:
        """Set the status by server-side apply, and return the whole object."""


class HubLooks(Protocol):
    """Looks at hubs."""

    async def look(self, place: Place) -> IotEdgePlaceStatus:
        """Read what is used and free in a hub."""


class PoolLooks(Protocol):
    """Looks at node pools."""

    def look(self, place: Place) -> FpgaPlaceStatus | Uncounted:
        """Count what is used and free in a pool."""

    def forget(self, key: Key) -> None:
        """Tell a ComputeTarget no more of its devices."""


class PlaceReconciler:
    """Keeps the status of ComputeTargets true, and those that are in use from vanishing."""

    def __init__(
        self,
        api: StatusApi,
        *,
        places: Places,
        contents: Contents,
        listings: Listings,
        refusals: Refusals,
        sweeper: Sweeper,
        hubs: HubLooks,
        pools: PoolLooks,
        users: Callable[[Key], Sequence[Key]],
        clock: Callable[[], datetime],
    ) -> None:
        self._api = api
        self._places = places
        self._contents = contents
        self._listings = listings
        self._refusals = refusals
        self._sweeper = sweeper
        self._hubs = hubs
        self._pools = pools
        self._users = users
        self._clock = clock

    async def reconcile(self, key: Key) -> Result:
        """Run one pass; it may be repeated or interrupted at any point."""
        place = self._places.get(key)
        if place is None:
            self._sweeper.forget(key)
            self._pools.forget(key)
            return Done()
        users = self._users(key)
        if users and place.metadata.deletion_timestamp is None:  # what goes already takes no finalizer
            await hold(self._api, COMPUTE_TARGETS, place.metadata)
        elif may_go(place, users):
            await release(self._api, COMPUTE_TARGETS, place.metadata)
            return Done()
        seen = await self._look(place, users)
        await self._report(place, seen)
        if seen.room is not None:
            await self._sweep(place)
        return RequeueAfter(INTERVAL_SECONDS)

    async def report_failure(self, key: Key, error: Exception) -> None:
        """Say in the status why a pass failed."""
        try:
            place = self._places.get(key)
        except Terminal:
            await self._report_unreadable(key, error)
        else:
            if place is not None:
                await self._report(place, PlaceObservation(refusal=_verdict(error), users=self._users(key)))

    async def _look(self, place: Place, users: Sequence[Key]) -> PlaceObservation:
        try:
            if place.spec.kind is ComputeTargetKind.IOT_EDGE:
                return PlaceObservation(hub=await self._hubs.look(place), users=users)
            if place.spec.kind is ComputeTargetKind.FPGA:
                return PlaceObservation(pool=self._pools.look(place), users=users)
            site = await self._places.site(place)
            room, refused = await self._room(site), self._refusals.of(site)
            verdict = _verdict(refused) if refused else None
            return PlaceObservation(room, refused_write=verdict, users=users)
        except Postponed:
            raise
        except Terminal as error:
            verdict = _verdict(error)
            if error.reason is Reason.AUTHENTICATION_FAILED:
                return PlaceObservation(sign_in=verdict, users=users)
            return PlaceObservation(refusal=verdict, users=users)
        except ReconcileError as error:
            return PlaceObservation(refusal=_verdict(error), users=users)

    async def _sweep(self, place: Place) -> None:
        """Clear up by the list that was just made; what fails is repeated, and says nothing of the place."""
        try:
            await self._sweeper.sweep(place)
        except ReconcileError as error:
            logger.warning("Orphans of ComputeTarget %s are left for later: %s", place.metadata.name, error)

    async def _room(self, site: Site) -> Room | None:
        own = (await self._listings.recent(site)).of_cluster(await self._contents.cluster())
        usages = (await site.groups.usages(site.place.location)).body
        return read_room(usages, site.place.location, site.place.quota, len(own))

    async def _report(self, place: Place, seen: PlaceObservation) -> None:
        status = compute_target_status(place, seen, self._clock())
        if status != place.status:
            await self._api.apply_status(COMPUTE_TARGETS, _body(place.metadata, status))

    async def _report_unreadable(self, key: Key, error: Exception) -> None:
        """Replace the status, in which every other word may be out of date."""
        if observed := self._places.observed(key):
            document = observed.parse()
            metadata = PlaceMetadata.model_validate(document["metadata"])
            conditions = map(Condition.model_validate, document["status"].get("conditions", ()))
            status = unreadable_place(metadata, conditions, _verdict(error), self._clock())
            if _as_json(status) != document["status"]:
                await self._api.apply_status(COMPUTE_TARGETS, _body(metadata, status))


def _verdict(error: Exception) -> Verdict:
    if isinstance(error, Terminal):
        kind = Kind.CAPACITY if error.reason is Reason.CAPACITY_UNAVAILABLE else Kind.TERMINAL
        return Verdict(kind, error.reason, error.message, error.retry_after)
    if isinstance(error, ReconcileError):
        return Verdict(Kind.TRANSIENT, Reason.PROGRESSING_WITH_RETRY, str(error), None)
    return Verdict(Kind.TRANSIENT, Reason.INTERNAL_ERROR, defect(error), None)


def _body(metadata: PlaceMetadata, status: ComputeTargetStatus) -> Object:
    return {
        "apiVersion": COMPUTE_TARGETS.api_version,
        "kind": COMPUTE_TARGETS.kind,
        "metadata": {"name": metadata.name, "uid": metadata.uid},
        "status": _as_json(status),
    }


def _as_json(status: ComputeTargetStatus) -> Object:
    return status.model_dump(by_alias=True, exclude_none=True, mode="json")
