"""The status of a ModelDeployment on devices: what the hub has counted, in words for the user."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from berth.api.conditions import Condition, ConditionStatus, ConditionType, Reason
from berth.api.iot_edge import IotEdgeTarget
from berth.api.status import FailingDevice, IotEdgeStatus
from berth.plan.edge_fleet import MOST_NAMED, Counts
from berth.plan.edge_rollout import SETTLED_SECONDS, WHOLE, Decision, Known, Phase, Stage, lag
from berth.plan.hub_room import HubRoom
from berth.plan.report import Draft, condition, held, holds, is_overdue, progressing, ready, stalled
from berth.plan.subject import Subject

DEADLINE_SECONDS = 1800

_UNCOUNTED = (
    "The hub has not counted yet what the devices run;"
    " of 100 devices and more it can only where iotEdge.metrics has at most 2 queries"
)

Verdict = tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Fleet:
    """What is known of the devices."""

    counts: Counts = field(default_factory=Counts)
    failing: Sequence[FailingDevice] = ()
    untold: Sequence[FailingDevice] = ()
    """Devices whose agent was not told, or told otherwise: it lasts without a base, or with a rival."""
    rivals: Sequence[str] = ()
    """Deployments of others that claim the name of the module."""
    room: HubRoom | None = None


def edge_draft(subject: Subject, decision: Decision, fleet: Fleet, now: datetime) -> Draft:
    """Say how the fleet fares."""
    if _age(decision, now) >= SETTLED_SECONDS:
        known = {each.device_id for each in fleet.failing}
        missing = [each for each in fleet.untold if each.device_id not in known]
        fleet = replace(fleet, failing=[*fleet.failing, *missing][:MOST_NAMED])
    verdict = _told_of_rivals(_verdict(subject, decision, fleet, now), fleet.rivals)
    return Draft((*verdict, _model_available(fleet.counts)), _fields(subject, decision, fleet))


def known_stage(subject: Subject) -> Known:
    """Return what the status remembers of the stage."""
    status = subject.status.iot_edge
    if status is None or subject.status.observed_generation != subject.metadata.generation:
        return Known()
    since = status.stage_healthy_since
    number = (status.stage or "").partition(" ")[0]
    stage = Stage(int(number) - 1) if number.isdigit() else WHOLE
    return Known(stage.label, datetime.fromisoformat(since) if since else None)


def _verdict(subject: Subject, decision: Decision, fleet: Fleet, now: datetime) -> Verdict:
    match decision.phase:
        case Phase.ABSENT if fleet.room and not fleet.room.free:
            return stalled(Reason.QUOTA_EXCEEDED, fleet.room.told())
        case Phase.ABSENT | Phase.CHANGING:
            return progressing(Reason.ROLLING_OUT, "The deployment is brought to the hub")
        case Phase.RETURNING | Phase.RETURNED:
            return _rolled_back(subject, fleet)
        case Phase.HALTED:
            told = "Too many devices fail, and the rollout goes no further"
            return stalled(Reason.DEVICES_FAILING, told + _named(fleet.failing))
        case Phase.STAGED:
            return _staged(subject, decision, fleet, now)
        case _:
            return _complete(subject, decision, fleet, now)


def _staged(subject: Subject, decision: Decision, fleet: Fleet, now: datetime) -> Verdict:
    told = f"Stage {_stage(subject, decision)}: {_running(fleet.counts)}{_named(fleet.failing)}"
    if decision.healthy_since is None and _age(decision, now) > DEADLINE_SECONDS:
        return stalled(Reason.PROGRESS_DEADLINE_EXCEEDED, told)
    return progressing(Reason.ROLLING_OUT, told)


def _rolled_back(subject: Subject, fleet: Fleet) -> Verdict:
    """Go on telling who failed, which by now runs what it ran before."""
    known = held(subject, ConditionType.STALLED)
    if known and known.reason == Reason.ROLLED_BACK:
        return stalled(Reason.ROLLED_BACK, known.message)
    told = "Too many devices failed, and all run what they ran before: change the spec to try again"
    return stalled(Reason.ROLLED_BACK, told + _named(fleet.failing))


def _complete(subject: Subject, decision: Decision, fleet: Fleet, now: datetime) -> Verdict:
    counts, age = fleet.counts, _age(decision, now)
    is_of_before = (
        decision.current is not None and not counts.is_close and age < lag(decision.current, counts)
    )
    if is_of_before or counts.targeted is None or counts.applied is None or counts.applied > counts.targeted:
        # More are told than are chosen while the hub still counts by an earlier condition.
        return progressing(Reason.COUNTING_DEVICES, "The hub has not counted the devices yet")
    if counts.targeted == 0:
        told = "The condition chooses no device of IoT Edge"
        return (stalled if age >= SETTLED_SECONDS else progressing)(Reason.NO_DEVICES, told)
    if counts.running is None or counts.seen is None:
        return (stalled if age > DEADLINE_SECONDS else progressing)(Reason.COUNTING_DEVICES, _UNCOUNTED)
    if counts.seen == 0 and holds(subject, ConditionType.READY):
        return (ready(Reason.READY, f"All {counts.targeted} devices are offline; they ran the current spec"),)
    wanted = (subject.spec.iot_edge or _ANY).min_healthy_percent
    if counts.seen and counts.running * 100 >= wanted * counts.seen:
        return (ready(Reason.READY, _running(counts)),)
    return _unwell(subject, fleet, wanted, age, now)


_ANY = IotEdgeTarget(device_id="-")


def _unwell(subject: Subject, fleet: Fleet, wanted: int, age: float, now: datetime) -> Verdict:
    """Tell what keeps too few devices running: those that fail, then those that no one has told."""
    counts = fleet.counts
    seen, failed, missing = counts.seen or 0, counts.failed or 0, _missing(counts)
    if failed and failed * 100 > (100 - wanted) * seen:
        return stalled(Reason.DEVICES_FAILING, _running(counts) + _named(fleet.failing))
    if missing and age >= SETTLED_SECONDS:
        told = f"{missing} of {counts.targeted} devices have no base deployment: give them one"
        return stalled(Reason.BASE_DEPLOYMENT_MISSING, told + _named(fleet.failing))
    if is_overdue(subject, Reason.PROGRESS_DEADLINE_EXCEEDED, now, DEADLINE_SECONDS):
        return stalled(Reason.PROGRESS_DEADLINE_EXCEEDED, _running(counts))
    return progressing(Reason.ROLLING_OUT, _running(counts) + _named(fleet.failing))


def _running(counts: Counts) -> str:
    if counts.targeted is None or counts.running is None:
        return "the hub has not counted the devices yet"
    offline = f", {counts.offline} offline" if counts.offline else ""
    failed = f", {counts.failed} failing" if counts.failed else ""
    return f"{counts.running}/{counts.targeted} devices run the current spec{failed}{offline}"


def _named(failing: Sequence[FailingDevice]) -> str:
    if not failing:
        return ""
    first = failing[0]
    code = "" if first.exit_code is None else f"exit code {first.exit_code}"
    told = ", ".join(filter(None, [first.runtime_status, code, first.description]))
    return f"; {first.device_id}: {told}" if told else f"; {first.device_id}"


def _told_of_rivals(verdict: Verdict, rivals: Sequence[str]) -> Verdict:
    if not rivals:
        return verdict
    words = f"; {rivals[0]} claims the same module, and on a device that both choose one of them wins"
    return tuple(each.model_copy(update={"message": each.message + words}) for each in verdict)


def _model_available(counts: Counts) -> Condition:
    kind = ConditionType.MODEL_AVAILABLE
    if counts.running:
        told = "Devices have fetched and loaded the model"
        return condition(kind, ConditionStatus.TRUE, Reason.MODEL_SERVED, told)
    told = "No device has said that it runs the model"
    return condition(kind, ConditionStatus.UNKNOWN, Reason.FETCHING_MODEL, told)


def _fields(subject: Subject, decision: Decision, fleet: Fleet) -> dict[str, Any]:
    counts = fleet.counts
    since = decision.healthy_since
    status = IotEdgeStatus(
        deployment_id=decision.current.id if decision.current else None,
        targeted=counts.targeted,
        applied=counts.applied,
        running=counts.running,
        failed=counts.failed,
        offline=counts.offline,
        out_of_date=counts.out_of_date,
        stage=_stage(subject, decision) if decision.current else None,
        stage_healthy_since=since.strftime("%Y-%m-%dT%H:%M:%SZ") if since else None,
        failing_devices=tuple(fleet.failing) or None,
    )
    return {"iot_edge": status, "replicas": counts.targeted, "ready_replicas": counts.running}


def _stage(subject: Subject, decision: Decision) -> str:
    rollout = subject.spec.iot_edge.rollout if subject.spec.iot_edge else None
    if rollout is None or decision.stage.index is None:
        return WHOLE.label
    return f"{decision.stage.index + 1} of {len(rollout.stages)}"


def _missing(counts: Counts) -> int:
    return max(0, (counts.targeted or 0) - (counts.applied or 0))


def _age(decision: Decision, now: datetime) -> float:
    changed = decision.current.changed if decision.current else None
    return (now - changed).total_seconds() if changed else 0.0
