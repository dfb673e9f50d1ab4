"""Exclusive devices, counted as the scheduler does: what nodes offer, less what their Pods asked for."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from berth.api.common import Tolerations
from berth.core.keys import Key
from berth.plan.diff import quantity
from berth.plan.labels import DEPLOYMENT, MANAGED_BY

_ENDED = frozenset({"Succeeded", "Failed"})
KEEPS_AWAY = frozenset({"NoSchedule", "NoExecute"})
"""Effects of taints that keep new Pods from a node, or claims from a device."""

Json = Mapping[str, Any]
Counts = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Node:
    """A node, as far as the scheduler looks at it for devices."""

    name: str
    labels: Mapping[str, str]
    taints: Sequence[Json]
    is_ready: bool
    takes_pods: bool
    offers: Counts
    """Healthy devices, by resource; 0 where the plugin is away."""
    broken: Counts = field(default_factory=dict)
    """Devices of which the plugin says that they are not healthy, by resource."""

    def is_usable(self, tolerations: Tolerations) -> bool:
        """Tell whether the scheduler would put a Pod here."""
        kept_away = (taint for taint in self.taints if taint.get("effect") in KEEPS_AWAY)
        return (
            self.is_ready and self.takes_pods and all(_is_tolerated(each, tolerations) for each in kept_away)
        )


@dataclass(frozen=True, slots=True)
class Claimant:
    """A Pod that asks for devices and has not ended."""

    key: Key
    uid: str
    node: str
    """Where it is bound, or where room is being made for it; empty while it waits."""
    asks: Counts
    is_ending: bool
    deployment: str
    """The label that Berth gives the Pods of one ModelDeployment; empty for others."""

    selector: Mapping[str, str] = field(default_factory=dict)
    """Labels that a node for it must have."""

    @property
    def holder(self) -> str:
        """Who holds its devices, as a user knows it."""
        return f"{self.key.namespace}/{self.deployment or self.key.name}"

    def may_wait_for(self, pool: Mapping[str, str]) -> bool:
        """Tell whether it waits for a node, and does not itself rule out those with the pool's labels."""
        return not self.node and all(pool.get(name, value) == value for name, value in self.selector.items())


@dataclass(frozen=True, slots=True)
class Room:
    """Devices of one resource or class in a pool."""

    resource: str
    total: int
    allocated: int
    free: int
    pending: int
    nodes: tuple[str, ...]
    """Nodes that offer the resource."""
    held: Mapping[str, int] = field(default_factory=dict)
    """Devices by holder, those with the most first."""
    ending: int = 0
    """Devices that come free soon, since the Pods on them end."""
    free_by_node: tuple[int, ...] = ()
    closed: tuple[str, ...] = ()
    """Nodes that offer the resource but take no Pod: not ready, cordoned, or with a taint."""
    nodes_of: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Nodes by holder."""
    relieving: tuple[str, ...] = ()
    """Nodes with broken devices that have a healthy one for a Pod which leaves such."""

    def replicas(self, devices: int) -> int:
        """Return how many more replicas there is room for, with so many devices each on one node."""
        return sum(free // devices for free in self.free_by_node)

    def replicas_without(self, node: str, devices: int) -> int:
        """Return the same for once a Pod has ended that is on broken devices of a node."""
        return self.replicas(devices) + (node in self.relieving)


@dataclass(frozen=True, slots=True)
class Uncounted:
    """Devices that cannot be counted."""

    why: str


def read_offering(raw: Json) -> Node | None:
    """Read a node; None for one that never offered an extended resource."""
    node = read_node(raw)
    return node if node.offers else None


def read_node(raw: Json) -> Node:
    """Read what the API server tells of a node."""
    metadata, spec, status = raw["metadata"], raw.get("spec", {}), raw.get("status", {})
    ready = (each for each in status.get("conditions", ()) if each["type"] == "Ready")
    there, offers = _extended(status.get("capacity", {})), _extended(status.get("allocatable", {}))
    return Node(
        name=metadata["name"],
        labels=metadata.get("labels", {}),
        taints=spec.get("taints", ()),
        is_ready=any(each["status"] == "True" for each in ready),
        takes_pods=not spec.get("unschedulable", False),
        offers=offers,
        broken={
            name: count - offers[name] for name, count in there.items() if count > offers.get(name, count)
        },
    )


def read_claimant(raw: Json) -> Claimant | None:
    """Read a Pod; None for one that has ended or asks for no device."""
    metadata, spec, status = raw["metadata"], raw["spec"], raw.get("status", {})
    asks = pod_requests(spec)
    if not asks or status.get("phase") in _ENDED:
        return None
    return Claimant(
        key=Key(metadata["namespace"], metadata["name"]),
        uid=metadata["uid"],
        node=spec.get("nodeName") or status.get("nominatedNodeName") or "",
        asks=asks,
        is_ending="deletionTimestamp" in metadata,
        deployment=deployment_of(metadata),
        selector=spec.get("nodeSelector", {}),
    )


def deployment_of(metadata: Json) -> str:
    """Return the label that Berth gives what belongs to one ModelDeployment; empty for what is others'."""
    labels: Mapping[str, str] = metadata.get("labels", {})
    return labels.get(DEPLOYMENT, "") if labels.get(MANAGED_BY) == "berth" else ""


def pod_requests(spec: Json) -> dict[str, int]:
    """Return the devices that a Pod asks for: init containers run one after the other, sidecars stay."""
    together: dict[str, int] = {}
    peak: dict[str, int] = {}
    for container in spec.get("initContainers", ()):
        asked = _asked(container)
        if container.get("restartPolicy") == "Always":
            together = _sum(together, asked)
            peak = _most(peak, together)
        else:
            peak = _most(peak, _sum(together, asked))
    for container in spec.get("containers", ()):
        together = _sum(together, _asked(container))
    return {name: count for name, count in _most(peak, together).items() if count}


def count(
    nodes: Iterable[Node],
    claimants: Iterable[Claimant],
    resource: str,
    selector: Mapping[str, str],
    tolerations: Tolerations,
) -> Room:
    """Count the devices of a pool: its nodes have the labels of `selector`."""
    offering = (node for node in nodes if resource in node.offers)
    in_pool = (node for node in offering if selector.items() <= node.labels.items())
    pool = sorted(in_pool, key=lambda node: node.name)
    names = {node.name for node in pool}
    asking = [each for each in claimants if resource in each.asks]
    on_pool = [each for each in asking if each.node in names]
    taken: dict[str, int] = {}
    held: dict[str, int] = {}
    for each in on_pool:
        taken[each.node] = taken.get(each.node, 0) + each.asks[resource]
        held[each.holder] = held.get(each.holder, 0) + each.asks[resource]
    usable = [node for node in pool if node.is_usable(tolerations)]
    open_names = {node.name for node in usable}
    free = [max(0, node.offers[resource] - taken.get(node.name, 0)) for node in usable]
    return Room(
        resource=resource,
        total=sum(node.offers[resource] for node in pool),
        allocated=sum(taken.values()),
        free=sum(free),
        pending=sum(each.asks[resource] for each in asking if each.may_wait_for(selector)),
        nodes=tuple(node.name for node in pool if node.offers[resource]),
        held=dict(sorted(held.items(), key=lambda item: (-item[1], item[0]))),
        ending=sum(each.asks[resource] for each in on_pool if each.is_ending and each.node in open_names),
        free_by_node=tuple(free),
        closed=tuple(node.name for node in pool if node.offers[resource] and node not in usable),
        nodes_of=_nodes_of(on_pool),
        relieving=tuple(
            node.name
            for node in usable
            if node.broken.get(resource) and node.offers[resource] >= taken.get(node.name, 0)
        ),
    )


def _nodes_of(claimants: Iterable[Claimant]) -> dict[str, tuple[str, ...]]:
    found: dict[str, set[str]] = {}
    for each in claimants:
        found.setdefault(each.holder, set()).add(each.node)
    return {holder: tuple(sorted(nodes)) for holder, nodes in found.items()}


def _asked(container: Json) -> dict[str, int]:
    resources = container.get("resources", {})
    return _extended({**resources.get("limits", {}), **resources.get("requests", {})})


def _extended(quantities: Mapping[str, Any]) -> dict[str, int]:
    return dict(_whole(quantities))


def _whole(quantities: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """Give the extended resources: names with a prefix, in whole numbers."""
    for name, value in quantities.items():
        number = quantity(value) if "/" in name else None
        if number is not None:
            yield name, int(number)


def _sum(one: Counts, other: Counts) -> dict[str, int]:
    return {name: one.get(name, 0) + other.get(name, 0) for name in {**one, **other}}


def _most(one: Counts, other: Counts) -> dict[str, int]:
    return {name: max(one.get(name, 0), other.get(name, 0)) for name in {**one, **other}}


def _is_tolerated(taint: Json, tolerations: Tolerations) -> bool:
    return any(
        (each.effect is None or each.effect == taint.get("effect"))
        and (each.key is None or each.key == taint.get("key"))
        and (each.operator == "Exists" or (each.value or "") == taint.get("value", ""))
        for each in tolerations
    )
