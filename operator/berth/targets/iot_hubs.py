"""The hubs that ComputeTargets name, and one list of a hub's deployments for all who look."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from berth.api.azure import Cloud, Credentials
from berth.api.conditions import Reason
from berth.api.iot_hub import DeviceCounts, IotEdgePlace, IotEdgePlaceStatus
from berth.core.errors import Gone, Terminal
from berth.core.results import INTERVAL_SECONDS
from berth.plan.compute_target_status import Place
from berth.plan.edge_fleet import owner_of
from berth.plan.hub_room import HubRoom
from berth.plan.subject import Subject
from berth.targets.aci_content import Contents
from berth.targets.azure import CLIENT_SECRET, Places
from berth.targets.base import Object

CONNECTION_STRING = "connectionString"

_LOOK_AGAIN_SECONDS = 60.0

Json = Mapping[str, Any]


class Hub(Protocol):
    """The operations of one hub."""

    async def deployments(self) -> list[Object]:
        """Read all deployments, of whomever, with what the hub has counted for each."""

    async def create(self, document: Object) -> None:
        """Make a deployment."""

    async def update(self, document: Object, etag: str) -> None:
        """Change what may change of a deployment."""

    async def delete(self, deployment: str, etag: str) -> None:
        """Delete a deployment; raises Gone."""

    async def test(self, condition: str, metrics: Mapping[str, str]) -> Object:
        """Let the hub read a condition and queries."""

    async def query(self, query: str, *, most: int) -> list[Object]:
        """Read what a query finds, so many items at most."""

    async def devices(self) -> Object:
        """Count the devices that the hub knows."""

    async def connected(self) -> Object:
        """Count the devices that are connected."""


class HubClients(Protocol):
    """Opens clients of hubs."""

    async def iot_hub(
        self, place: IotEdgePlace, cloud: Cloud, credentials: Credentials, secret: str | None = None
    ) -> Hub:
        """Return the client of a hub."""

    async def iot_hub_resource(
        self, place: IotEdgePlace, cloud: Cloud, credentials: Credentials, secret: str | None = None
    ) -> Object:
        """Read what the resource manager says of a hub."""


@dataclass(frozen=True, slots=True)
class HubSite:
    """A hub, and its client."""

    place: IotEdgePlace
    hub: Hub


class HubSites:
    """The ComputeTargets of kind IoTEdge."""

    def __init__(self, places: Places, clients: HubClients) -> None:
        self._places = places
        self._clients = clients

    async def admit(self, subject: Subject) -> None:
        """Raise Terminal unless the namespace may use the ComputeTarget that is named."""
        await self._places.admit(subject)

    async def site_of(self, subject: Subject) -> HubSite:
        """Return the hub of a ModelDeployment; raises Terminal where that is not known."""
        return await self.site(self._places.place_of(subject))

    async def site(self, place: Place) -> HubSite:
        """Open the client of a ComputeTarget; raises Terminal where no one can sign in that way."""
        spec, hub = place.spec, place.spec.iot_edge
        if hub is None:
            raise Terminal(Reason.CONFIG_INVALID, f"ComputeTarget {place.metadata.name} has no iotEdge")
        secret = await self._places.secret(hub.connection_string_ref, CONNECTION_STRING)
        if secret is None:
            secret = await self._places.secret(spec.credentials.secret_ref, CLIENT_SECRET)
        return HubSite(hub, await self._clients.iot_hub(hub, spec.cloud, spec.credentials, secret))

    async def resource(self, place: Place) -> Object:
        """Read what the resource manager says of a hub, or nothing where its id is not given."""
        spec, hub = place.spec, place.spec.iot_edge
        if hub is None or hub.resource_id is None:
            return {}
        secret = await self._places.secret(spec.credentials.secret_ref, CLIENT_SECRET)
        try:
            return await self._clients.iot_hub_resource(hub, spec.cloud, spec.credentials, secret)
        except Gone:
            told = f"There is no resource {hub.resource_id}"
            raise Terminal(Reason.HUB_NOT_FOUND, told, _LOOK_AGAIN_SECONDS) from None


@dataclass(frozen=True, slots=True)
class HubListing:
    """The deployments of a hub at one moment."""

    at: float
    documents: Sequence[Json]

    def room(self, place: IotEdgePlace, cluster: str) -> HubRoom:
        """Count them against what may be there."""
        owners = [owner_of(document) for document in self.documents]
        own = sum(owner is not None and owner.cluster == cluster for owner in owners)
        return HubRoom.of(place, own, len(self.documents))


class HubListings:
    """Keeps the last list of each hub, and of each who may ask: ComputeTargets may share a hub."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._kept: WeakKeyDictionary[Hub, HubListing] = WeakKeyDictionary()
        self._changed: dict[str, float] = {}
        self._refusals: WeakKeyDictionary[Hub, tuple[float, Terminal]] = WeakKeyDictionary()
        self._locks: dict[str, asyncio.Lock] = {}

    async def recent(self, site: HubSite, longest: float) -> HubListing:
        """Return a list that is at most so many seconds old, and has seen all that this operator did.

        What a hub refuses is refused to all who ask, until it is time to try again or another may ask.
        """
        name = site.place.host_name
        async with self._locks.setdefault(name, asyncio.Lock()):
            kept, now = self._kept.get(site.hub), self._clock()
            is_fresh = kept is not None and now - kept.at < longest
            if kept is None or not is_fresh or kept.at <= self._changed.get(name, float("-inf")):
                self._raise_known(site)
                kept = self._kept[site.hub] = HubListing(now, await self._ask(site))
            return kept

    async def _ask(self, site: HubSite) -> list[Object]:
        try:
            return await site.hub.deployments()
        except Terminal as error:
            self._refusals[site.hub] = self._clock(), error
            raise

    def _raise_known(self, site: HubSite) -> None:
        at, error = self._refusals.get(site.hub, (0.0, None))
        if error is None:
            return
        if (wait := at + (error.retry_after or 0.0) - self._clock()) > 0:
            raise Terminal(error.reason, error.message, wait)

    def changed(self, site: HubSite) -> None:
        """Ask anew next time."""
        self._changed[site.place.host_name] = self._clock()


class HubLook:
    """Tells what is used and free in a hub."""

    def __init__(self, sites: HubSites, contents: Contents, listings: HubListings) -> None:
        self._sites = sites
        self._contents = contents
        self._listings = listings

    async def look(self, place: Place) -> IotEdgePlaceStatus:
        """Read what is used and free in a hub."""
        site = await self._sites.site(place)
        listing = await self._listings.recent(site, INTERVAL_SECONDS)
        room = listing.room(site.place, await self._contents.cluster())
        everyone, connected = await site.hub.devices(), await site.hub.connected()
        counts = DeviceCounts(
            connected=connected.get("connectedDeviceCount") or 0, all=everyone.get("totalDeviceCount") or 0
        )
        sku = (await self._sites.resource(place)).get("sku") or {}
        told = {name: sku[key] for name, key in (("tier", "tier"), ("units", "capacity")) if key in sku}
        return room.status(site.place, counts).model_copy(update=told)
