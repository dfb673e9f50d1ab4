"""Devices of DRA drivers, put as nodes that offer them and Pods that ask for them: counted as any others."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from berth.api.common import Tolerations
from berth.core.keys import Key
from berth.plan.devices import KEEPS_AWAY, Claimant, Node, Room, Uncounted, count, deployment_of

_OF_ONE_DRIVER = re.compile(r"""\s*device\.driver\s*==\s*(?:"([^"\\]+)"|'([^'\\]+)')\s*""")

Json = Mapping[str, Any]
PoolName = tuple[str, str]
"""Driver and pool: pools of two drivers may have one name."""
DeviceId = tuple[str, str, str]
"""Driver, pool and device."""


@dataclass(frozen=True, slots=True)
class DeviceClass:
    """What devices a DeviceClass chooses, as far as that can be told without a CEL interpreter."""

    name: str
    drivers: frozenset[str] | None = None
    """Drivers whose devices are all chosen; None chooses those of every driver."""
    unread: str = ""
    """An expression that asks for more than the driver."""

    def chooses(self, driver: str) -> bool:
        """Tell whether the devices of a driver are chosen."""
        return self.drivers is None or driver in self.drivers


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of what a driver publishes of one pool."""

    pool: PoolName
    generation: int
    slices: int
    """How many parts this generation has."""
    node: str
    """The only node that the devices can be used on; empty for such as several can reach."""
    devices: frozenset[str]
    """Names of the devices that are given to anybody: those with a taint are not."""
    is_divisible: bool
    """Whether one device can be given to several, or leaves less of another."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A ResourceClaim that has devices, or that a Pod waits with."""

    pod: Key
    """Whose it is: the Pod, or where none is known the claim itself."""
    uid: str
    wants: Mapping[str, int]
    """Devices by class, while there is none yet."""
    devices: tuple[DeviceId, ...]
    deployment: str

    def claimant(self, asks: Mapping[str, int], *, node: str = "", is_ending: bool = False) -> Claimant:
        """Put it as a Pod that asks for devices, and waits unless it has them on a node."""
        return Claimant(self.pod, self.uid, node, asks, is_ending, self.deployment)


@dataclass(frozen=True, slots=True)
class Published:
    """All that was told of DRA devices."""

    classes: Iterable[DeviceClass]
    slices: Iterable[Slice]
    claims: Iterable[Claim]
    ending: Collection[str] = ()
    """The uids of Pods of Berth's that end."""


def read_class(raw: Json) -> DeviceClass:
    """Read a DeviceClass."""
    name = raw["metadata"]["name"]
    drivers: frozenset[str] | None = None
    for selector in raw.get("spec", {}).get("selectors", ()):
        expression = selector.get("cel", {}).get("expression", "")
        found = _OF_ONE_DRIVER.fullmatch(expression)
        if found is None:
            return DeviceClass(name, unread=expression)
        chosen = frozenset(filter(None, found.groups()))
        drivers = chosen if drivers is None else drivers & chosen
    return DeviceClass(name, drivers)


def read_slice(raw: Json) -> Slice:
    """Read a ResourceSlice."""
    spec = raw["spec"]
    pool, devices = spec["pool"], spec.get("devices", ())
    return Slice(
        pool=(spec["driver"], pool["name"]),
        generation=pool["generation"],
        slices=pool["resourceSliceCount"],
        node=spec.get("nodeName", ""),
        devices=frozenset(each["name"] for each in devices if not _has_taint(each)),
        is_divisible=any(map(_is_divisible, devices)),
    )


def read_claim(raw: Json) -> Claim | None:
    """Read a ResourceClaim; None for one that has no device and that no Pod waits with."""
    metadata, spec, status = raw["metadata"], raw["spec"], raw.get("status", {})
    allocation = status.get("allocation")
    own_pod = next((each for each in metadata.get("ownerReferences", ()) if each["kind"] == "Pod"), None)
    if allocation is None and own_pod is None:
        return None
    given = allocation.get("devices", {}).get("results", ()) if allocation else ()
    users = (each for each in status.get("reservedFor", ()) if each["resource"] == "pods")
    user = own_pod or next(users, metadata)
    return Claim(
        pod=Key(metadata["namespace"], user["name"]),
        uid=user["uid"],
        wants={} if allocation else _wanted(spec.get("devices", {}).get("requests", ())),
        devices=tuple(_id(each) for each in given if not _is_extra(each)),
        deployment=deployment_of(metadata),
    )


def read_ending(raw: Json) -> str | None:
    """Give the uid of a Pod that ends."""
    metadata: Json = raw["metadata"]
    return str(metadata["uid"]) if "deletionTimestamp" in metadata else None


def count_class(
    name: str,
    published: Published,
    nodes: Iterable[Node],
    selector: Mapping[str, str],
    tolerations: Tolerations,
) -> Room | Uncounted:
    """Count the devices of a class in a pool: its nodes have the labels of `selector`."""
    chosen = next((each for each in published.classes if each.name == name), None)
    if chosen is None:
        return Uncounted(f"DeviceClass {name} does not exist")
    if chosen.unread:
        return Uncounted(
            f"DeviceClass {name} chooses its devices by more than their driver, "
            f"which only the scheduler evaluates: {chosen.unread}"
        )
    slices = list(_newest(each for each in published.slices if chosen.chooses(each.pool[0])))
    if obstacle := _obstacle(slices):
        return Uncounted(obstacle)
    places = {(*each.pool, device): each.node for each in slices for device in each.devices}
    offers = _tally(places.values())
    offering = (replace(each, offers={name: offers[each.name]}) for each in nodes if each.name in offers)
    return count(offering, _claimants(name, published, places), name, selector, tolerations)


def _newest(slices: Iterable[Slice]) -> Iterator[Slice]:
    """Leave out what its driver has published anew."""
    known = list(slices)
    newest: dict[PoolName, int] = {}
    for each in known:
        newest[each.pool] = max(each.generation, newest.get(each.pool, 0))
    return (each for each in known if each.generation == newest[each.pool])


def _obstacle(slices: Sequence[Slice]) -> str | None:
    """Say why devices cannot be counted one by one on their nodes."""
    published = _tally(each.pool for each in slices)
    for each in slices:
        driver, pool = each.pool
        if not each.node:
            return f"Driver {driver} offers devices of pool {pool} to several nodes at once"
        if each.is_divisible:
            return f"Driver {driver} divides devices of pool {pool}"
        if (told := published[each.pool]) != each.slices:
            return f"Driver {driver} has published {told} of {each.slices} slices of pool {pool}"
    return None


def _claimants(name: str, published: Published, places: Mapping[DeviceId, str]) -> Iterator[Claimant]:
    """Put claims as Pods that ask for what they got, on the nodes where that is, or that wait."""
    for claim in published.claims:
        given = _tally(places[device] for device in claim.devices if device in places)
        for node, devices in given.items():
            yield claim.claimant({name: devices}, node=node, is_ending=claim.uid in published.ending)
        if name in claim.wants:
            yield claim.claimant({name: claim.wants[name]})


def _wanted(requests: Iterable[Json]) -> dict[str, int]:
    """Return the devices that a claim asks for without a choice."""
    wanted: dict[str, int] = {}
    for each in requests:
        exactly = each.get("exactly", {})
        if "deviceClassName" in exactly and not _is_extra(exactly):
            name = exactly["deviceClassName"]
            wanted[name] = wanted.get(name, 0) + exactly.get("count", 1)
    return wanted


def _tally(items: Iterable[Any]) -> dict[Any, int]:
    found: dict[Any, int] = {}
    for each in items:
        found[each] = found.get(each, 0) + 1
    return found


def _id(result: Json) -> DeviceId:
    return result["driver"], result["pool"], result["device"]


def _is_extra(request: Json) -> bool:
    """Tell whether a device is looked at for maintenance, which leaves it to others."""
    return bool(request.get("adminAccess"))


def _has_taint(device: Json) -> bool:
    return any(each.get("effect") in KEEPS_AWAY for each in device.get("taints", ()))


def _is_divisible(device: Json) -> bool:
    return bool(device.get("consumesCounters") or device.get("allowMultipleAllocations"))
