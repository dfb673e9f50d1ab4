"""The plan for a model that is served by devices: observation in, steps and status out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from berth.api.conditions import ConditionType
from berth.api.iot_edge import Rollout
from berth.core.results import INTERVAL_SECONDS, RequeueAfter, Result
from berth.plan.edge_deployment import Desired
from berth.plan.edge_fleet import Live
from berth.plan.edge_rollout import Create, Decision, Phase, Step, decide
from berth.plan.edge_status import Fleet, edge_draft, known_stage
from berth.plan.report import Draft, Event, is_ready, worked
from berth.plan.subject import Subject

SOON_SECONDS = 5.0
BUSY_SECONDS = 10.0
"""Time between two looks while something changes."""

_PATIENCE_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Sight:
    """What is wanted, and what was seen."""

    desired: Desired
    live: Sequence[Live] = ()
    fleet: Fleet = field(default_factory=Fleet)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do and what to say."""

    steps: Sequence[Step]
    draft: Draft
    result: Result
    events: Sequence[Event]
    desired: Desired


def plan(subject: Subject, sight: Sight, now: datetime) -> Plan:
    """Decide on steps and status."""
    decision = decide(
        sight.desired,
        rollout_of(subject),
        sight.live,
        counts=sight.fleet.counts,
        known=known_stage(subject),
        now=now,
    )
    steps = [step for step in decision.steps if _is_possible(step, sight.fleet)]
    draft = edge_draft(subject, decision, sight.fleet, now)
    pause = RequeueAfter(_pause(draft, steps, sight, worked(subject, now)))
    return Plan(steps, draft, pause, list(_events(subject, decision, sight)), sight.desired)


def rollout_of(subject: Subject) -> Rollout | None:
    """Return how a new content comes to the fleet."""
    return subject.spec.iot_edge.rollout if subject.spec.iot_edge else None


def _is_possible(step: Step, fleet: Fleet) -> bool:
    return not isinstance(step, Create) or fleet.room is None or fleet.room.free > 0


def _pause(draft: Draft, steps: Sequence[Step], sight: Sight, waited: float) -> float:
    kinds = {each.type for each in draft.conditions}
    if steps:
        return SOON_SECONDS
    is_busy = len(sight.live) > 1 or ConditionType.RECONCILING in kinds
    return BUSY_SECONDS if is_busy and waited < _PATIENCE_SECONDS else INTERVAL_SECONDS


def _events(subject: Subject, decision: Decision, sight: Sight) -> Iterator[Event]:
    if decision.drifted and decision.current:
        fields = ", ".join(decision.drifted)
        told = f"Deployment {decision.current.id} was changed by someone else: {fields}"
        yield Event("DriftCorrected", told)
    status = subject.status.iot_edge
    was_there = status is not None and status.deployment_id in sight.desired.ids
    if decision.phase is Phase.ABSENT and is_ready(subject) and was_there:
        told = f"Deployment {sight.desired.id} is gone or was changed, and is made again"
        yield Event("DeploymentMissing", told, is_warning=True)
    if decision.phase is Phase.RETURNING:
        yield Event("RolloutFailed", "Too many devices fail: the rollout goes back", is_warning=True)
