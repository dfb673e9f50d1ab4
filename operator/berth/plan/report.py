"""The status of a ModelDeployment: a draft of conditions and fields, and how it becomes what is written."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from berth.api.conditions import Condition, ConditionStatus, ConditionType, Reason, merge
from berth.api.status import AuthStatus, ModelDeploymentStatus, ModelStatus
from berth.core.errors import ReconcileError, Terminal, Transient
from berth.plan.children import keys_name, wants_keys
from berth.plan.subject import Metadata, Subject

REQUESTED_AT = "reconcile.berth.dev/requestedAt"

_LONGEST_MESSAGE = 32_768
"""A server's words can be longer than what a condition may hold."""

_CHANGES_WAIT = "spec.suspend is true: changes wait"
_VERDICT = frozenset(
    {ConditionType.READY, ConditionType.RECONCILING, ConditionType.STALLED, ConditionType.SUSPENDED}
)


@dataclass(frozen=True, slots=True)
class Draft:
    """What a target says of one ModelDeployment: conditions, and status fields by their Python names."""

    conditions: tuple[Condition, ...]
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened and that a user cares about."""

    reason: str
    note: str
    is_warning: bool = False


def condition(kind: str, status: ConditionStatus, reason: Reason, message: str) -> Condition:
    """Make a condition whose times and generation `next_status` fills in."""
    return Condition(
        type=kind, status=status, reason=reason, message=message[:_LONGEST_MESSAGE], last_transition_time=""
    )


def ready(reason: Reason, message: str) -> Condition:
    """Say that the current spec serves."""
    return condition(ConditionType.READY, ConditionStatus.TRUE, reason, message)


def progressing(reason: Reason, message: str) -> tuple[Condition, Condition]:
    """Say that the current spec does not serve yet, but waiting helps."""
    return (
        condition(ConditionType.READY, ConditionStatus.FALSE, reason, message),
        condition(ConditionType.RECONCILING, ConditionStatus.TRUE, reason, message),
    )


def stalled(reason: Reason, message: str) -> tuple[Condition, Condition]:
    """Say that only a change of the spec or of the surroundings helps."""
    return (
        condition(ConditionType.READY, ConditionStatus.FALSE, reason, message),
        condition(ConditionType.STALLED, ConditionStatus.TRUE, reason, message),
    )


def failed(subject: Subject, error: Exception) -> Draft:
    """Say why a pass failed: the one place that turns errors into conditions."""
    return Draft((*_verdict(error), *_details(subject)))


def defect(error: Exception) -> str:
    """Say that Berth is to blame; what the error says may hold secrets."""
    return f"The operator failed with {type(error).__name__}; its log has the details"


def suspended(subject: Subject, draft: Draft | None) -> Draft:
    """Say what is so while nothing is acted on; there is no draft where changes wait."""
    if draft is not None and not any(each.type == ConditionType.RECONCILING for each in draft.conditions):
        return draft
    unknown = condition(ConditionType.READY, ConditionStatus.UNKNOWN, Reason.SUSPENDED, _CHANGES_WAIT)
    return Draft((unknown, *_details(subject)))


def unreadable(
    metadata: Metadata, known: Iterable[Condition], error: Exception, now: datetime
) -> ModelDeploymentStatus:
    """Return the status of an object of which only the metadata can be read."""
    verdict = [_of_generation(each, metadata.generation) for each in _verdict(error)]
    conditions = merge(known, verdict, _moment(now))
    return ModelDeploymentStatus(observed_generation=metadata.generation, conditions=conditions)


def next_status(subject: Subject, draft: Draft, now: datetime) -> ModelDeploymentStatus:
    """Return the whole status to write; fields that the draft leaves out stay as they are."""
    generation = subject.metadata.generation
    current = [_of_generation(each, generation) for each in (*draft.conditions, *_suspension(subject))]
    fields = {
        "observed_generation": generation,
        "conditions": merge(subject.status.conditions or (), current, _moment(now)),
        "model": _model_status(subject),
        "auth": _auth_status(subject),
        "deploy_duration_seconds": _deploy_duration(subject, draft, now),
        "last_handled_reconcile_at": subject.metadata.annotations.get(REQUESTED_AT),
    }
    return subject.status.model_copy(update=fields | dict(draft.fields))


def events(subject: Subject, status: ModelDeploymentStatus) -> Iterator[Event]:
    """Name what became different for the user between the old status and the new one."""
    old, new = _by_type(subject.status), _by_type(status)
    verdict, before = new.get(ConditionType.READY), old.get(ConditionType.READY)
    if verdict is None:
        return
    was_ready = before is not None and before.status is ConditionStatus.TRUE
    is_current = subject.status.observed_generation == status.observed_generation
    if verdict.status is ConditionStatus.TRUE:
        if not (was_ready and is_current):
            yield Event(verdict.reason, verdict.message)
    elif (problem := new.get(ConditionType.STALLED)) and problem.reason != _reason(
        old, ConditionType.STALLED
    ):
        yield Event(problem.reason, problem.message, is_warning=True)
    elif was_ready and is_current:
        yield Event(verdict.reason, verdict.message, is_warning=True)


def is_ready(subject: Subject) -> bool:
    """Tell whether the stored status says Ready of the current generation."""
    verdict = _by_type(subject.status).get(ConditionType.READY)
    return verdict is not None and verdict.status is ConditionStatus.TRUE and _is_current(subject)


def holds(subject: Subject, kind: str) -> bool:
    """Tell whether the stored status says that a condition is true for the current generation."""
    return held(subject, kind) is not None


def held(subject: Subject, kind: str) -> Condition | None:
    """Return a condition that the stored status says is true for the current generation."""
    known = _by_type(subject.status).get(kind)
    if known is None or known.observed_generation != subject.metadata.generation:
        return None
    return known if known.status is ConditionStatus.TRUE else None


def is_overdue(subject: Subject, reason: str, now: datetime, deadline_seconds: float) -> bool:
    """Tell whether work goes on for longer than the deadline, or has stalled for this reason."""
    problem = held(subject, ConditionType.STALLED)
    if problem is not None and problem.reason == reason:
        return True
    return worked(subject, now) > deadline_seconds


def worked(subject: Subject, now: datetime) -> float:
    """Return for how many seconds work on the current generation goes on, as the stored status tells."""
    reconciling = held(subject, ConditionType.RECONCILING)
    if reconciling is None:
        return 0.0
    return (now - datetime.fromisoformat(reconciling.last_transition_time)).total_seconds()


def _verdict(error: Exception) -> tuple[Condition, Condition]:
    match error:
        case Terminal(reason=reason, message=message):
            return stalled(reason, message)
        case Transient(message=message):
            return progressing(Reason.PROGRESSING_WITH_RETRY, message)
        case ReconcileError():
            return progressing(Reason.PROGRESSING_WITH_RETRY, str(error))
        case _:
            return progressing(Reason.INTERNAL_ERROR, defect(error))


def _details(subject: Subject) -> tuple[Condition, ...]:
    """Return what the stored status tells beside the verdict."""
    return tuple(known for known in subject.status.conditions or () if known.type not in _VERDICT)


def _suspension(subject: Subject) -> Iterator[Condition]:
    if subject.spec.suspend:
        yield condition(ConditionType.SUSPENDED, ConditionStatus.TRUE, Reason.SUSPENDED, _CHANGES_WAIT)


def _is_current(subject: Subject) -> bool:
    return subject.status.observed_generation == subject.metadata.generation


def _of_generation(each: Condition, generation: int) -> Condition:
    """Leave a condition that was taken over from an earlier status with the generation it speaks of."""
    if each.observed_generation is not None:
        return each
    return each.model_copy(update={"observed_generation": generation})


def _model_status(subject: Subject) -> ModelStatus | None:
    found = subject.spec.all_models
    if not found:
        return None
    if len(found) > 1:
        return ModelStatus(name=f"{found[0].name} and {len(found) - 1} more")
    known = subject.status.model if _is_current(subject) else None
    return ModelStatus(name=found[0].name, version=found[0].version, digest=known.digest if known else None)


def _auth_status(subject: Subject) -> AuthStatus:
    return AuthStatus(
        mode=subject.spec.auth_mode, secret_name=keys_name(subject) if wants_keys(subject) else None
    )


def _deploy_duration(subject: Subject, draft: Draft, now: datetime) -> float | None:
    """Count from the creation, or the first sign of work on a later generation, to its first Ready."""
    known = subject.status.deploy_duration_seconds if _is_current(subject) else None
    is_served = any(
        each.type == ConditionType.READY and each.status is ConditionStatus.TRUE for each in draft.conditions
    )
    if known is not None or not is_served:
        return known
    before = _by_type(subject.status).get(ConditionType.READY)
    if subject.metadata.generation == 1:
        began = subject.metadata.creation_timestamp
    elif before is not None and _is_current(subject):
        began = before.last_transition_time
    else:
        return 0.0
    return max(0.0, round((now - datetime.fromisoformat(began)).total_seconds(), 1))


def _moment(now: datetime) -> str:
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")


def _by_type(status: ModelDeploymentStatus) -> dict[str, Condition]:
    return {known.type: known for known in status.conditions or ()}


def _reason(conditions: Mapping[str, Condition], kind: str) -> str | None:
    known = conditions.get(kind)
    return known.reason if known else None
