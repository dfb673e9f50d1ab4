"""The plan for a model that is served by a container group: observation in, steps and status out."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from berth.api.conditions import ConditionStatus, ConditionType
from berth.core.results import INTERVAL_SECONDS, RequeueAfter, Result
from berth.plan.container_group import Desired
from berth.plan.group_changes import Json, Update, Way, is_stopped, merged_tags
from berth.plan.group_names import tags_of
from berth.plan.group_recovery import is_given_up
from berth.plan.group_slots import REFUSED, is_due, is_retiring, named, retiring
from berth.plan.group_status import Observation, group_draft, slow_event
from berth.plan.report import Draft, Event, is_ready, worked
from berth.plan.subject import Subject

DELETION_POLL_SECONDS = 3.0

_POLL_SECONDS = 5.0
_PATIENCE_SECONDS = 120.0
_PATIENT_POLL_SECONDS = 15.0
_LATE_POLL_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Put:
    """Create the group or change it in place; the body holds secrets and must not be logged."""

    name: str
    body: Json


@dataclass(frozen=True, slots=True)
class Tag:
    """Replace the tags, which restarts nothing."""

    name: str
    tags: dict[str, str]


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete a group; a new one can have its name once it is gone."""

    name: str


@dataclass(frozen=True, slots=True)
class Start:
    """Start a group that someone has stopped."""

    name: str


Step = Put | Tag | Delete | Start


@dataclass(frozen=True, slots=True)
class Sight:
    """What is wanted, and what was seen."""

    desired: Desired
    update: Update
    """What it takes to bring the group to what is wanted."""
    seen: Observation
    strays: Sequence[Json] = ()
    """Other groups of this ModelDeployment, which are to go."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do and what to say."""

    steps: Sequence[Step]
    draft: Draft
    result: Result
    events: Sequence[Event]

    @property
    def is_ready(self) -> bool:
        """Tell whether the current spec serves."""
        return any(
            each.type == ConditionType.READY and each.status is ConditionStatus.TRUE
            for each in self.draft.conditions
        )


def plan(subject: Subject, sight: Sight, now: datetime) -> Plan:
    """Decide on steps and status."""
    steps = list(_steps(subject, sight, now))
    draft = group_draft(subject, sight.seen, now)
    pause = RequeueAfter(pause_after(sight.seen, draft, steps, worked(subject, now)))
    return Plan(steps, draft, pause, list(_events(subject, sight, draft)))


def drop(strays: Iterable[Json], now: datetime) -> Iterator[Step]:
    """Delete what is due to go, marked first: Azure does not show that a deletion has begun."""
    for stray in strays:
        if not is_retiring(stray):
            yield Tag(stray["name"], retiring(stray, now))
        elif not is_due(stray, now):
            continue
        yield Delete(stray["name"])


def bring(desired: Desired, change: Update, group: Json) -> Iterator[Step]:
    """Bring a group to what is wanted."""
    match change.way:
        case Way.TAGS:
            yield Tag(desired.name, merged_tags(desired, group))
        case Way.IN_PLACE:
            yield Put(desired.name, {**desired.body, "tags": merged_tags(desired, group)})
        case Way.RECREATE:
            yield Delete(desired.name)
        case Way.NOTHING if is_stopped(group):
            yield Start(desired.name)


def pause_after(seen: Observation, draft: Draft, steps: Sequence[Step], waited: float) -> float:
    """Return when to look again, since no watch tells of Azure; what takes long is asked for less often."""
    kinds = {each.type for each in draft.conditions}
    if seen.answers is False and not steps:  # an answer brings the next pass
        is_new = ConditionType.RECONCILING in kinds and waited < _PATIENCE_SECONDS
        return _PATIENT_POLL_SECONDS if is_new else INTERVAL_SECONDS
    if steps or ConditionType.RECONCILING in kinds:
        if waited >= _PATIENCE_SECONDS:
            return _PATIENT_POLL_SECONDS
        return DELETION_POLL_SECONDS if any(isinstance(step, Delete) for step in steps) else _POLL_SECONDS
    if ConditionType.STALLED in kinds and not (seen.group and is_given_up(seen.group)):
        return _LATE_POLL_SECONDS
    return INTERVAL_SECONDS


def _steps(subject: Subject, sight: Sight, now: datetime) -> Iterator[Step]:
    desired, group = sight.desired, sight.seen.group
    if group is None:
        if sight.seen.room is None or sight.seen.room.admits(sight.seen.ahead):
            yield Put(desired.name, desired.body)
        return
    if sight.strays:
        if named(subject) != group["name"]:
            return  # callers hear first where to go
        yield from drop(sight.strays, now)
    yield from bring(desired, sight.update, group)
    tags = tags_of(group)
    if sight.update.way is Way.NOTHING and tags.pop(REFUSED, ""):
        yield Tag(desired.name, tags)


def _events(subject: Subject, sight: Sight, draft: Draft) -> Iterator[Event]:
    name, group = sight.desired.name, sight.seen.group
    if group is None:
        if is_ready(subject):
            yield Event("GroupMissing", f"Container group {name} is gone and is made again", is_warning=True)
    elif sight.update.drifted:
        fields = ", ".join(sight.update.fields)
        yield Event("DriftCorrected", f"Container group {name} was changed by someone else: {fields}")
    elif is_stopped(group):
        yield Event("GroupStopped", f"Container group {name} was stopped by someone else and is started")
    if late := slow_event(subject, draft):
        yield late
