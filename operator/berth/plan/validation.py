"""Whether the answer to the golden request lets a ModelDeployment be Ready."""

from dataclasses import dataclass
from datetime import datetime

from berth.api.conditions import Condition, ConditionStatus, ConditionType, Reason
from berth.plan.report import condition, holds, is_overdue, progressing, ready, stalled
from berth.plan.subject import Subject

_REASONS = {
    ConditionStatus.TRUE: Reason.VALIDATION_PASSED,
    ConditionStatus.FALSE: Reason.VALIDATION_FAILED,
    ConditionStatus.UNKNOWN: Reason.VALIDATING,
}


@dataclass(frozen=True, slots=True)
class Golden:
    """How the golden request ended; the status is Unknown where no replica answered it."""

    status: ConditionStatus
    message: str


def validation_verdict(
    subject: Subject, golden: Golden | None, now: datetime, deadline_seconds: float
) -> tuple[Condition, ...]:
    """Say whether what is rolled out is Ready; None is a request that has not been answered yet."""
    if not subject.spec.validation or validated(subject, golden).status is ConditionStatus.TRUE:
        return (ready(Reason.READY, "The current spec serves"),)
    if golden is None:
        return progressing(Reason.VALIDATING, "The golden request has not been answered yet")
    is_wrong = golden.status is ConditionStatus.FALSE
    if is_wrong or is_overdue(subject, Reason.VALIDATION_FAILED, now, deadline_seconds):
        return stalled(Reason.VALIDATION_FAILED, golden.message)
    return progressing(Reason.VALIDATING, golden.message)


def validated(subject: Subject, golden: Golden | None) -> Condition:
    """Say how the golden request ended; a generation that passed is not asked again."""
    if holds(subject, ConditionType.VALIDATED):
        golden = Golden(ConditionStatus.TRUE, "The golden request passed")
    elif golden is None:
        golden = Golden(ConditionStatus.UNKNOWN, "The golden request waits for the rollout")
    return condition(ConditionType.VALIDATED, golden.status, _REASONS[golden.status], golden.message)
