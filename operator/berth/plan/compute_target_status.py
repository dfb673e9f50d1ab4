"""The status of a ComputeTarget: whether it can be used, what is free there, and who uses it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import Field

from berth.api.base import ApiModel
from berth.api.compute_target import ComputeTarget, ComputeTargetKind, ComputeTargetStatus
from berth.api.conditions import Condition, ConditionStatus, ConditionType, Reason, merge
from berth.api.fpga_place import FpgaPlaceStatus
from berth.api.iot_hub import IotEdgePlaceStatus
from berth.core.keys import Key
from berth.plan.azure_errors import Kind, Verdict
from berth.plan.devices import Uncounted
from berth.plan.group_quota import Room
from berth.plan.report import condition, progressing, ready, stalled

ABANDONED = "abandoned.berth.dev/"
"""Prefix of the annotations that name, by uid, whose container groups were left behind on purpose."""
NEWS_SECONDS = 300
"""A look that found nothing new is written down only this often: each write wakes everyone who watches."""

_NAMED = 5
_OF_THE_REGION = frozenset({Kind.CAPACITY, Kind.SUSPECTED})


class PlaceMetadata(ApiModel):
    """The part of a ComputeTarget's metadata that Berth reads."""

    name: str
    uid: str
    generation: int
    deletion_timestamp: str | None = None
    annotations: Mapping[str, str] = Field(default_factory=dict)
    finalizers: tuple[str, ...] = Field(default=())


class Place(ComputeTarget):
    """A ComputeTarget together with its metadata."""

    metadata: PlaceMetadata

    @property
    def abandoned(self) -> list[str]:
        """The uids of ModelDeployments that went without their container groups."""
        return [
            name.removeprefix(ABANDONED) for name in self.metadata.annotations if name.startswith(ABANDONED)
        ]


@dataclass(frozen=True, slots=True)
class PlaceObservation:
    """What was seen of a ComputeTarget."""

    room: Room | None = None
    """What is used and free, where Azure has told it."""
    sign_in: Verdict | None = None
    """Why there is no token."""
    refusal: Verdict | None = None
    """Why the resource manager did not answer as it should."""
    refused_write: Verdict | None = None
    """Why it took no write of late, though it can be read."""
    users: Sequence[Key] = ()
    """The ModelDeployments that use it."""
    hub: IotEdgePlaceStatus | None = None
    """What is used and free in a hub, where it has told it."""
    pool: FpgaPlaceStatus | Uncounted | None = None
    """What is used and free in a node pool, or why that cannot be counted."""

    @property
    def has_answer(self) -> bool:
        """Whether the place has told what is free."""
        return self.room is not None or self.hub is not None or self.pool is not None


def compute_target_status(place: Place, seen: PlaceObservation, now: datetime) -> ComputeTargetStatus:
    """Return the whole status to write; it equals the stored one where there is no news worth a write."""
    known = place.status
    generation = place.metadata.generation
    told = [each.model_copy(update={"observed_generation": generation}) for each in _conditions(place, seen)]
    moment = _moment(now)
    status = ComputeTargetStatus(
        observed_generation=generation,
        conditions=merge(known.conditions or (), told, moment),
        last_seen=known.last_seen,
        aci=seen.room.status() if seen.room else known.aci,
        iot_edge=seen.hub or known.iot_edge,
        fpga=_pool_counts(seen, known.fpga),
    )
    answered = seen.has_answer
    if not answered or (status == known and not _is_old(known.last_seen, now)):
        return status
    return status.model_copy(update={"last_seen": moment})


def unreadable_place(
    metadata: PlaceMetadata, known: Iterable[Condition], verdict: Verdict, now: datetime
) -> ComputeTargetStatus:
    """Return the status of a ComputeTarget of which only the metadata can be read."""
    told = _problem(verdict)
    generation = metadata.generation
    current = [each.model_copy(update={"observed_generation": generation}) for each in told]
    return ComputeTargetStatus(observed_generation=generation, conditions=merge(known, current, _moment(now)))


def may_go(place: Place, users: Sequence[Key]) -> bool:
    """Tell whether a ComputeTarget is to be deleted and nobody uses it any more."""
    return place.metadata.deletion_timestamp is not None and not users


def _conditions(place: Place, seen: PlaceObservation) -> Iterator[Condition]:
    if place.spec.kind is ComputeTargetKind.FPGA:
        yield from _pool(place, seen)
    else:
        yield from _verdict(seen)
        yield _credentials(seen)
        yield _hub(seen) if place.spec.kind is ComputeTargetKind.IOT_EDGE else _region(seen)
    if place.metadata.deletion_timestamp and seen.users:
        message = f"It goes once nobody uses it any more: {_names(seen.users)}"
        yield condition(ConditionType.IN_USE, ConditionStatus.TRUE, Reason.IN_USE, message)


def _verdict(seen: PlaceObservation) -> tuple[Condition, ...]:
    problem = seen.sign_in or seen.refusal or _lasting(seen.refused_write)
    if problem is None:
        if not seen.has_answer:
            return progressing(Reason.LOOKING, "Azure has not been asked yet")
        return (ready(Reason.READY, "Azure answers"),)
    return _problem(problem)


def _problem(verdict: Verdict) -> tuple[Condition, ...]:
    say = stalled if verdict.kind is Kind.TERMINAL else progressing
    return say(verdict.reason, verdict.message)


def _lasting(refused: Verdict | None) -> Verdict | None:
    """Leave out what concerns the region: it may take a smaller group, or the same one soon."""
    return refused if refused and refused.kind not in _OF_THE_REGION else None


def _credentials(seen: PlaceObservation) -> Condition:
    kind = ConditionType.CREDENTIALS_ACCEPTED
    refused = seen.sign_in or seen.refusal or seen.refused_write
    rejected = refused is not None and refused.reason in {
        Reason.AUTHENTICATION_FAILED,
        Reason.AUTHORIZATION_FAILED,
    }
    if refused is not None and rejected:
        return condition(kind, ConditionStatus.FALSE, refused.reason, refused.message)
    if seen.sign_in or not seen.has_answer:
        told = seen.sign_in.message if seen.sign_in else "Azure has not been asked yet"
        return condition(kind, ConditionStatus.UNKNOWN, Reason.LOOKING, told)
    return condition(kind, ConditionStatus.TRUE, Reason.CREDENTIALS_ACCEPTED, "Azure takes the credentials")


def _region(seen: PlaceObservation) -> Condition:
    kind = ConditionType.REGION_AVAILABLE
    refused = seen.refusal or seen.refused_write
    if refused and refused.kind in _OF_THE_REGION:
        return condition(kind, ConditionStatus.FALSE, refused.reason, refused.message)
    if seen.room is None:
        return condition(
            kind, ConditionStatus.UNKNOWN, Reason.LOOKING, "Azure has not told of the region yet"
        )
    return condition(kind, ConditionStatus.TRUE, Reason.REGION_AVAILABLE, "Azure tells of the region")


def _hub(seen: PlaceObservation) -> Condition:
    kind = ConditionType.HUB_AVAILABLE
    if seen.refusal and seen.refusal.kind is Kind.TERMINAL:
        return condition(kind, ConditionStatus.FALSE, seen.refusal.reason, seen.refusal.message)
    if seen.hub is None:
        return condition(kind, ConditionStatus.UNKNOWN, Reason.LOOKING, "The hub has not answered yet")
    return condition(kind, ConditionStatus.TRUE, Reason.HUB_AVAILABLE, "The hub answers")


def _pool(place: Place, seen: PlaceObservation) -> Iterator[Condition]:
    """Say whether there are devices; whom they serve is told beside it."""
    kind = ConditionType.DEVICES_AVAILABLE
    if seen.refusal is not None:
        yield from _problem(seen.refusal)
        yield condition(kind, ConditionStatus.UNKNOWN, seen.refusal.reason, seen.refusal.message)
        return
    devices = seen.pool.devices if isinstance(seen.pool, FpgaPlaceStatus) else None
    if devices is None:
        why = f": {seen.pool.why}" if isinstance(seen.pool, Uncounted) else ""
        told = f"The devices of this pool are not counted{why}"
        yield ready(Reason.READY, told)
        yield condition(kind, ConditionStatus.UNKNOWN, Reason.COUNTING_DEVICES, told)
        return
    told = f"Of {devices.total} devices {devices.resource_name} {devices.free} are free"
    if devices.total:
        yield ready(Reason.READY, told)
        has_free = ConditionStatus.TRUE if devices.free else ConditionStatus.FALSE
        reason = Reason.DEVICES_AVAILABLE if devices.free else Reason.DEVICES_IN_USE
        yield condition(kind, has_free, reason, told)
        return
    told = f"No node of the pool offers {devices.resource_name}"
    scales = place.spec.fpga is not None and place.spec.fpga.scales_from_zero
    if scales:
        yield ready(Reason.WAITING_FOR_CAPACITY, f"{told} yet, and it may scale from zero")
    else:
        yield from progressing(Reason.DEVICE_NOT_OFFERED, told)
    reason = Reason.WAITING_FOR_CAPACITY if scales else Reason.DEVICE_NOT_OFFERED
    yield condition(kind, ConditionStatus.FALSE, reason, told)


def _pool_counts(seen: PlaceObservation, known: FpgaPlaceStatus | None) -> FpgaPlaceStatus | None:
    """Forget counts that nobody can tell any more."""
    if isinstance(seen.pool, Uncounted):
        return None
    return seen.pool or known


def _names(users: Sequence[Key]) -> str:
    ordered = sorted(map(str, users))
    more = len(ordered) - _NAMED
    return ", ".join(ordered[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _moment(now: datetime) -> str:
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")


def _is_old(moment: str | None, now: datetime) -> bool:
    return moment is None or now - datetime.fromisoformat(moment) >= timedelta(seconds=NEWS_SECONDS)
