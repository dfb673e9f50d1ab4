"""The plan while one container group serves and another is to take over from it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from berth.api.conditions import Condition, ConditionStatus, ConditionType, Reason
from berth.api.status import ModelStatus
from berth.core.results import RequeueAfter
from berth.plan.causes import Cause
from berth.plan.group_changes import Json, Way
from berth.plan.group_names import tags_of
from berth.plan.group_plan import Plan, Put, Sight, Step, Tag, bring, drop, pause_after
from berth.plan.group_slots import REFUSED, TURN, Refusal, named, retiring, turn
from berth.plan.group_status import AGAIN, Observation, group_draft, slow_event
from berth.plan.report import REQUESTED_AT, Draft, Event, condition, progressing, stalled, worked
from berth.plan.subject import Subject

FAREWELL_SECONDS = 60.0
"""A group that was replaced answers for so long, while callers read the new address."""

_FAREWELL = timedelta(seconds=FAREWELL_SECONDS)
_VERDICT = frozenset({ConditionType.READY, ConditionType.RECONCILING, ConditionType.STALLED})
_OF_THE_PAIR = frozenset({ConditionType.ENDPOINT_READY, ConditionType.SUCCESSOR_READY})
_FORGOTTEN = "The group that was to take over failed"


@dataclass(frozen=True, slots=True)
class Succession:
    """What was seen of the group that serves, and of the one that is to take over."""

    live: Json
    answers: bool | None
    """Whether the live group says that it is ready; None where it was not asked."""
    heir: Sight
    drifted: Sequence[str] = ()
    """What someone else has changed of the live group."""
    is_refused: bool = False
    """What is wanted has failed before."""

    @property
    def name(self) -> str:
        """The name of the live group."""
        return str(self.live["name"])


def unvalidated(subject: Subject) -> Subject:
    """Return the ModelDeployment without the golden request that the live group has passed."""
    kept = [each for each in subject.status.conditions or () if each.type != ConditionType.VALIDATED]
    return subject.model_copy(
        update={"status": subject.status.model_copy(update={"conditions": tuple(kept)})}
    )


def plan_succession(subject: Subject, seen: Succession, now: datetime) -> Plan:
    """Decide on steps and status; nothing is done before callers know the address of the live group."""
    own = group_draft(unvalidated(subject), seen.heir.seen, now)
    is_told = named(subject) == seen.name
    if seen.is_refused:
        steps, draft = _after_refusal(subject, seen, own, now)
    else:
        is_over = is_told and _is_ready(own)
        steps = _steps(seen, own, now)
        draft = _switched(subject, own) if is_over else _meanwhile(subject, seen, own, now)
    taken = list(steps) if is_told else []
    pause = RequeueAfter(pause_after(seen.heir.seen, draft, taken, worked(subject, now)))
    return Plan(taken, draft, pause, list(_events(subject, seen, taken, draft)))


def _steps(seen: Succession, own: Draft, now: datetime) -> Iterator[Step]:
    heir, group = seen.heir, seen.heir.seen.group
    yield from drop(heir.strays, now + _FAREWELL)  # who says farewell makes room
    if group is None:
        if not heir.strays and (heir.seen.room is None or heir.seen.room.admits(heir.seen.ahead)):
            tags = heir.desired.tags | {TURN: str(turn(seen.live) + 1)}
            yield Put(heir.desired.name, {**heir.desired.body, "tags": tags})
    elif _is_ready(own):
        yield Tag(seen.name, retiring(seen.live, now + _FAREWELL))
    elif failure := _failure(own):
        refusal = Refusal(heir.desired.fingerprint, failure.reason)
        yield Tag(seen.name, tags_of(seen.live) | {REFUSED: str(refusal)})
        yield from drop([group], now)
    elif heir.update.way is Way.RECREATE:
        yield from drop([group], now)
    else:
        yield from bring(heir.desired, heir.update, group)


def _after_refusal(
    subject: Subject, seen: Succession, own: Draft, now: datetime
) -> tuple[Iterator[Step], Draft]:
    """Delete what has failed; try again where something else is wanted, or the user asks for it."""
    group = seen.heir.seen.group
    dropped = [*drop([*seen.heir.strays, *([group] if group else ())], now)]
    if subject.metadata.annotations.get(REQUESTED_AT) == subject.status.last_handled_reconcile_at:
        return iter(dropped), _refused(subject, seen, now)
    tags = {name: value for name, value in tags_of(seen.live).items() if name != REFUSED}
    return iter([*dropped, Tag(seen.name, tags)]), _meanwhile(subject, seen, own, now)


def _meanwhile(subject: Subject, seen: Succession, own: Draft, now: datetime) -> Draft:
    """Say how the successor fares, and give the address of the group that serves."""
    failure, first = _failure(own), own.conditions[0]
    reason, told = Reason(first.reason), first.message.removesuffix(AGAIN)
    if _is_ready(own):
        reason, told = Reason.ROLLING_OUT, "It is ready"
    say = stalled if failure else progressing
    verdict = say(reason, _about(seen, told, "serves on" if failure else "serves until another takes over"))
    details = [each for each in own.conditions if each.type not in _VERDICT | _OF_THE_PAIR]
    return _draft(subject, seen, own, now, (*verdict, *details, _successor(reason, told)))


def _refused(subject: Subject, seen: Succession, now: datetime) -> Draft:
    """Say why what is wanted was given up, as long as the status knows."""
    refusal = Refusal.read(seen.live)
    reason = refusal.reason if refusal else Reason.NOT_READY
    stored = {each.type: each for each in subject.status.conditions or ()}
    last = stored.get(ConditionType.SUCCESSOR_READY)
    told = last.message if last and last.reason == reason else _FORGOTTEN
    details = [each for kind, each in stored.items() if kind not in _VERDICT | _OF_THE_PAIR]
    verdict = stalled(reason, _about(seen, told, "serves on"))
    return _draft(subject, seen, Draft(()), now, (*verdict, *details, _successor(reason, told)))


def _draft(
    subject: Subject, seen: Succession, own: Draft, now: datetime, conditions: tuple[Condition, ...]
) -> Draft:
    live = group_draft(subject, Observation(seen.live, answers=seen.answers), now)
    endpoint = next(each for each in live.conditions if each.type == ConditionType.ENDPOINT_READY)
    fields: dict[str, Any] = {
        **live.fields,
        "replicas": 1 + own.fields.get("replicas", 0),
        "ready_replicas": live.fields["ready_replicas"] + own.fields.get("ready_replicas", 0),
        "model": subject.status.model,
    }
    if named(subject) == seen.name:  # they follow from the spec that the group was made for
        fields |= {name: getattr(subject.status, name) for name in ("scoring_uri", "swagger_uri")}
    return Draft((*conditions, endpoint), fields)


def _switched(subject: Subject, own: Draft) -> Draft:
    """Give the address of the successor; the digest that is known is the one of the group that goes."""
    if "model" in own.fields or len(subject.spec.all_models) != 1:
        return own
    model = subject.spec.all_models[0]
    return Draft(own.conditions, {**own.fields, "model": ModelStatus(name=model.name, version=model.version)})


def _about(seen: Succession, told: str, does: str) -> str:
    return f"Container group {seen.name} {does if seen.answers is not False else 'does not answer'}: {told}"


def _successor(reason: Reason, told: str) -> Condition:
    return condition(ConditionType.SUCCESSOR_READY, ConditionStatus.FALSE, reason, told)


def _is_ready(draft: Draft) -> bool:
    return draft.conditions[0].status is ConditionStatus.TRUE


def _failure(draft: Draft) -> Cause | None:
    return next(
        (
            Cause(Reason(each.reason), each.message)
            for each in draft.conditions
            if each.type == ConditionType.STALLED
        ),
        None,
    )


def _events(subject: Subject, seen: Succession, steps: Sequence[Step], draft: Draft) -> Iterator[Event]:
    successor = seen.heir.desired.name
    if seen.heir.seen.group is None and any(isinstance(step, Put) for step in steps):
        if seen.drifted:
            told = f"Container group {seen.name} was changed by someone else: {', '.join(seen.drifted)}"
            yield Event("DriftCorrected", told)
        yield Event("SuccessorStarted", f"Container group {successor} is to take over from {seen.name}")
    if _is_ready(draft):
        yield Event("SuccessorServes", f"Container group {successor} takes over from {seen.name}")
    if late := slow_event(subject, draft):
        yield late
