"""The plan for FPGA: that of AKS, with devices that are counted before Pods wait for them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from berth.api.conditions import Condition, ConditionStatus, ConditionType, Reason
from berth.api.fpga_place import MOST_HOLDERS, DeviceCounts, DeviceHolder, FpgaPlaceStatus, FpgaStatus
from berth.api.names import child_name
from berth.plan import cluster
from berth.plan.causes import Cause
from berth.plan.children import SERVING, Desired, ScoringImage, kept_image, serving_hash
from berth.plan.cluster import Observation, Plan
from berth.plan.devices import Room, Uncounted
from berth.plan.fpga_placement import FpgaSubject, claim_template
from berth.plan.fpga_recovery import Replacement, replacement
from berth.plan.report import Draft, condition, is_ready
from berth.plan.resources import CLAIM_TEMPLATES, DEPLOYMENTS
from berth.plan.rollout import read_rollout
from berth.plan.steps import Apply, Children, Create, Step, own

_NAMED = 5
_MOST_NODES = 100
_LONGEST_WORD = 64
_SETTLING_SECONDS = 30.0
"""A kubelet that restarts announces its devices anew; until then the node offers none."""
_AUTOSCALERS = frozenset({"TriggeredScaleUp", "NotTriggerScaleUp", "Nominated"})


@dataclass(frozen=True, slots=True)
class Scaling:
    """What an autoscaler said last of a Pod that waits."""

    refused: bool
    message: str


@dataclass(frozen=True, slots=True)
class Runtime:
    """What a pipeline says that it runs on."""

    device: str
    provider: str

    @classmethod
    def said(cls, device: str, provider: str) -> "Runtime":
        """Take its words, which anybody might have said, only so far as they are short."""
        return cls(device[:_LONGEST_WORD], provider[:_LONGEST_WORD])

    def __str__(self) -> str:
        place = "the CPU" if self.device == "cpu" else self.device
        return f"on {place}, by {self.provider}"


@dataclass(frozen=True, slots=True)
class FpgaObservation:
    """What was seen of one ModelDeployment and of its devices."""

    subject: FpgaSubject
    cluster: Observation
    room: Room | Uncounted
    scaling: Scaling | None = None
    missing_seconds: float = 0.0
    """For how long no node has offered the resource."""
    runtime: Runtime | None = None
    """What the current spec runs on, once it serves and has said so."""


def plan(seen: FpgaObservation, image: ScoringImage, now: datetime) -> Plan:
    """Decide on steps and status."""
    subject, lacking = seen.subject, lack(seen)
    observation = seen.cluster
    waits_for_devices = observation.cause is None or observation.cause.reason is Reason.UNSCHEDULABLE
    if lacking is not None and waits_for_devices:
        observation = replace(observation, cause=lacking)
    replaced = _replacement(seen)
    if replaced is not None:
        observation = replace(observation, cause=Cause(Reason.DEVICE_UNAVAILABLE, replaced.told))
    found = cluster.plan(subject, observation, image, now)
    found = replace(found, steps=[*_claims(subject, found.steps), *found.steps])
    if replaced is not None:
        found = replace(found, steps=[*found.steps, replaced.step], events=[*found.events, replaced.event])
    if found.draft is None:
        return found
    told = (_naming_runtime(each, seen.runtime) for each in found.draft.conditions)
    conditions = (*told, _devices_available(seen, lacking))
    return replace(found, draft=Draft(conditions, _fields(seen, found.draft.fields)))


def known_runtime(subject: FpgaSubject) -> Runtime | None:
    """Return what the stored status says that the current spec runs on."""
    known = subject.status.fpga
    if known is None or not known.device or not known.execution_provider or not is_ready(subject):
        return None
    return Runtime(known.device, known.execution_provider)


def surge(subject: FpgaSubject, image: ScoringImage, children: Children, room: Room | Uncounted) -> int:
    """Decide how many replicas a rollout may have too many: only where a free device was counted.

    What has been decided stays, so that the news of others' devices writes nothing, unless the rollout
    waits for a device that somebody else got first.
    """
    deployment = own(subject, children).get(DEPLOYMENTS)
    if deployment is None:
        return 0
    has_room = isinstance(room, Room) and room.replicas(subject.device.count) > 0
    serving = serving_hash(subject, kept_image(subject, image, observed=deployment))
    if deployment["metadata"]["annotations"].get(SERVING) != serving:
        return int(has_room)
    may_wait_for_ever = isinstance(room, Uncounted) or (room.pending > 0 and not has_room and not room.ending)
    if may_wait_for_ever and not cluster.is_serving(subject, read_rollout(deployment)):
        return 0
    return int(_present_surge(deployment))


def lacking(subject: FpgaSubject, children: Children, room: Room | Uncounted) -> int:
    """Count the replicas without a device: a rollout that waited for them would never replace the others.

    Where none has one, or nobody knows, what has been decided stays.
    """
    deployment = own(subject, children).get(DEPLOYMENTS)
    if deployment is None:
        return 0
    if isinstance(room, Uncounted) or not room.held.get(holder_of(subject)):
        return _present_lacking(deployment)
    return _without_device(subject, room)


def lack(seen: FpgaObservation) -> Cause | None:
    """Say which devices are missing for the replicas that are wanted; None where there are enough."""
    room = seen.room
    if isinstance(room, Uncounted) or not seen.subject.spec.scaling.replicas:
        return None
    per_replica = seen.subject.device.count
    if not room.total:
        return _no_node(seen, room)
    if not _without_device(seen.subject, room):
        return None
    wanted, held = _wanted_devices(seen.subject), room.held.get(holder_of(seen.subject), 0)
    told = (
        f"{wanted} devices {room.resource} are wanted, {held} are held: of {room.total} in all "
        f"{room.allocated} are allocated{_by(room.held)}, {room.free} free, {room.pending} waited for"
    )
    if per_replica > 1 and room.free >= per_replica:
        told += f"; no node has {per_replica} free at once"
    if room.closed:
        told += f"; not ready, cordoned or tainted: {', '.join(room.closed[:_NAMED])}"
    return Cause(Reason.DEVICES_IN_USE, told + _scaling(seen))


def scaling_of(events: Iterable[Mapping[str, Any]]) -> Scaling | None:
    """Return what an autoscaler said last, among the Events of a Pod."""
    said = [each for each in events if each.get("reason") in _AUTOSCALERS]
    if not said:
        return None
    newest = max(said, key=lambda each: each.get("lastTimestamp") or each.get("eventTime") or "")
    return Scaling(newest["reason"] == "NotTriggerScaleUp", newest.get("message", ""))


def _replacement(seen: FpgaObservation) -> Replacement | None:
    """Choose a Pod to replace: of a spec that has served, since another one may fail on every device."""
    deployment = own(seen.subject, seen.cluster.children).get(DEPLOYMENTS)
    if not read_rollout(deployment).has_served:
        return None
    return replacement(seen.subject, seen.cluster.pods, seen.room)


def _claims(subject: FpgaSubject, found: Sequence[Step]) -> Iterator[Step]:
    """Make what Pods claim devices of a DRA class by, before the Pods."""
    template = claim_template(subject)
    if template is not None and any(
        isinstance(step, Create | Apply) and step.desired.resource is DEPLOYMENTS for step in found
    ):
        yield Create(Desired(CLAIM_TEMPLATES, template))


def _no_node(seen: FpgaObservation, room: Room) -> Cause:
    """Say what an empty pool means: an error only where nobody can fill it."""
    scales = seen.subject.place is not None and seen.subject.place.scales_from_zero
    told = f"No node of the pool offers {room.resource}"
    if not scales:
        settled = seen.missing_seconds >= _SETTLING_SECONDS
        reason = Reason.DEVICE_NOT_OFFERED if settled else Reason.COUNTING_DEVICES
        return Cause(reason, f"{told}: check the node selector and the device plugin or driver")
    refused = seen.scaling is not None and seen.scaling.refused
    reason = Reason.NO_CAPACITY if refused else Reason.WAITING_FOR_CAPACITY
    return Cause(reason, f"{told} yet, {room.pending} are waited for{_scaling(seen)}")


def _scaling(seen: FpgaObservation) -> str:
    return f"; the autoscaler says: {seen.scaling.message}" if seen.scaling else ""


def _devices_available(seen: FpgaObservation, lacking: Cause | None) -> Condition:
    kind, room = ConditionType.DEVICES_AVAILABLE, seen.room
    if isinstance(room, Uncounted):
        told = f"Devices are not counted, so replicas are replaced one by one: {room.why}"
        return condition(kind, ConditionStatus.UNKNOWN, Reason.COUNTING_DEVICES, told)
    if lacking is not None:
        return condition(kind, ConditionStatus.FALSE, lacking.reason, lacking.message)
    told = f"There are devices {room.resource} for all replicas"
    return condition(kind, ConditionStatus.TRUE, Reason.DEVICES_AVAILABLE, told)


def _naming_runtime(each: Condition, runtime: Runtime | None) -> Condition:
    """Say with Ready what it runs on: where there is no device, nothing else would show it."""
    if runtime is None or each.type != ConditionType.READY or each.status is not ConditionStatus.TRUE:
        return each
    return each.model_copy(update={"message": f"{each.message}, {runtime}"})


def _fields(seen: FpgaObservation, fields: Mapping[str, Any]) -> Mapping[str, Any]:
    subject = seen.subject
    host = cluster.address(subject, own(subject, seen.cluster.children))
    status = FpgaStatus(
        service_name=child_name(subject.metadata.name),
        device=seen.runtime.device if seen.runtime else None,
        execution_provider=seen.runtime.provider if seen.runtime else None,
        **_counts(seen),
    )
    others = {name: value for name, value in fields.items() if name != "aks"}
    port = subject.placement.ports[0].service
    if subject.spec.has_own_server:  # nobody knows whether it speaks HTTP, too
        others |= {"scoring_uri": None}
    return {**others, "grpc_endpoint": f"{host}:{port}" if host else None, "fpga": status}


def _counts(seen: FpgaObservation) -> Mapping[str, Any]:
    room, holder = seen.room, holder_of(seen.subject)
    if isinstance(room, Uncounted):
        return {}
    nodes = room.nodes_of.get(holder, ())[:_MOST_NODES]
    return {"devices": device_counts(room), "held": room.held.get(holder, 0), "nodes": nodes or None}


def pool_status(room: Room) -> FpgaPlaceStatus:
    """Give what the status of a ComputeTarget shows."""
    holders = tuple(DeviceHolder(name=name, devices=held) for name, held in room.held.items())
    return FpgaPlaceStatus(
        nodes=len(room.nodes), devices=device_counts(room), holders=holders[:MOST_HOLDERS] or None
    )


def device_counts(room: Room) -> DeviceCounts:
    """Give the counts as a status shows them."""
    return DeviceCounts(
        resource_name=room.resource,
        total=room.total,
        allocated=room.allocated,
        free=room.free,
        pending=room.pending,
    )


def _wanted_devices(subject: FpgaSubject) -> int:
    """Count the devices of all replicas: a rollout that replaces one by one needs no more."""
    return subject.spec.scaling.replicas * subject.device.count


def _without_device(subject: FpgaSubject, room: Room) -> int:
    """Count the replicas that have no device and would get none."""
    per_replica = subject.device.count
    wanted, held = _wanted_devices(subject), room.held.get(holder_of(subject), 0)
    more = -(-max(0, wanted - held) // per_replica)
    return max(0, more - room.replicas(per_replica))


def holder_of(subject: FpgaSubject) -> str:
    """Return the name under which its Pods hold devices."""
    return f"{subject.metadata.namespace}/{child_name(subject.metadata.name)}"


def _by(held: Mapping[str, int]) -> str:
    """Name who holds devices, those with the most first."""
    if not held:
        return ""
    names = [f"{holder} {count}" for holder, count in list(held.items())[:_NAMED]]
    more = len(held) - len(names)
    return f" ({', '.join(names)}{f' and {more} more' if more else ''})"


def _present_surge(deployment: Mapping[str, Any]) -> bool:
    rolling = deployment["spec"].get("strategy", {}).get("rollingUpdate", {})
    return rolling.get("maxSurge", 1) not in (0, "0")


def _present_lacking(deployment: Mapping[str, Any]) -> int:
    unavailable = deployment["spec"].get("strategy", {}).get("rollingUpdate", {}).get("maxUnavailable", 1)
    return max(0, unavailable - 1) if isinstance(unavailable, int) else 0
