"""When a container group that Azure gave up is made again: it takes no update any more, and costs money.

What was in the way may be mended where no watch tells of it: a registry, credentials, a region's capacity.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from berth.api.conditions import Reason
from berth.plan.group_causes import first_cause
from berth.plan.report import REQUESTED_AT
from berth.plan.subject import Subject

FIRST_PAUSE_SECONDS = 60.0
FIRST_PAUSE_FOR_IMAGES_SECONDS = 300.0
LONGEST_PAUSE_SECONDS = 1800.0

_ENDED = frozenset({"Succeeded", "Failed"})

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Setback:
    """A wish that Azure gave up, since when, and how often it was made again before."""

    fingerprint: str
    since: float
    attempts: int = 0

    def again(self, now: float) -> Self:
        """Return what is so once it is made again."""
        return replace(self, since=now, attempts=self.attempts + 1)


def is_given_up(group: Json) -> bool:
    """Tell whether Azure does no more to bring the group up, although it may still come up by itself."""
    state: str | None = group["properties"].get("provisioningState")
    return state == "Failed"


def has_ended(group: Json) -> bool:
    """Tell whether all containers ended for good, as the user's restart policy asks."""
    return (group["properties"].get("instanceView") or {}).get("state") in _ENDED


def setback(last: Setback | None, fingerprint: str, now: float) -> Setback:
    """Return the setback that goes on, or a first one: a new wish has a new chance."""
    return last if last and last.fingerprint == fingerprint else Setback(fingerprint, now)


def is_due(subject: Subject, group: Json, known: Setback, now: float) -> bool:
    """Tell whether the group is to be made again; what ended as it should is, where the user asks for it."""
    if is_given_up(group):
        return _is_requested(subject) or now - known.since >= pause(group, known.attempts)
    return has_ended(group) and _is_requested(subject)


def pause(group: Json, attempts: int) -> float:
    """Return the seconds between two attempts: more each time, and more where people have to mend it."""
    cause = first_cause(group, {})
    is_image = cause is not None and cause.reason is Reason.IMAGE_PULL_FAILED
    first = FIRST_PAUSE_FOR_IMAGES_SECONDS if is_image else FIRST_PAUSE_SECONDS
    return float(min(LONGEST_PAUSE_SECONDS, first * 2.0 ** min(attempts, 10)))


def _is_requested(subject: Subject) -> bool:
    """Tell whether the user asked for a pass that has not been made yet."""
    asked = subject.metadata.annotations.get(REQUESTED_AT)
    return asked is not None and asked != subject.status.last_handled_reconcile_at
