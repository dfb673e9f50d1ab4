"""How a new content comes to the fleet: in stages, forward while devices are well, back when too many fail.

What the hub shows is all that is remembered: a label on the deployment tells the stage, one on the earlier
deployment tells which content was refused. Only since when a stage is healthy is in the status.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from hashlib import sha256
from typing import Any

import orjson

from berth.api.iot_edge import Rollout, RolloutStage
from berth.plan import edge_query
from berth.plan.edge_deployment import Desired
from berth.plan.edge_fleet import Counts, Live

STAGE, CONDITION, REFUSED = "berth-stage", "berth-condition", "berth-refused"
COMPLETE = "complete"
LAG_SECONDS = 60.0
"""Time after a change in which what the hub counts may be of before."""
COUNTED_SECONDS = 330.0
"""The same for what the hub counts by itself, every five minutes."""
TWO_LOOKS_SECONDS = 10.0
"""A module that ends again and again runs in between: one look at it tells little."""
SETTLED_SECONDS = 300.0
"""Time after which what the hub has not counted is not there."""

Json = dict[str, Any]


class Phase(Enum):
    """Where a content is on its way to the fleet."""

    ABSENT = auto()
    """It is not in the hub yet."""
    CHANGING = auto()
    """Its labels, condition, priority or queries are brought to what is wanted."""
    STAGED = auto()
    """A part of the devices has it."""
    HALTED = auto()
    """Too many devices fail, and there is no earlier content to go back to."""
    RETURNING = auto()
    """Too many devices fail, and the earlier content is about to be all there is."""
    RETURNED = auto()
    """The earlier content is all there is."""
    COMPLETE = auto()
    """All devices have it."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage by its number from 0; None is the whole fleet."""

    index: int | None

    @property
    def label(self) -> str:
        """What the hub is told of it."""
        return COMPLETE if self.index is None else str(self.index)


WHOLE = Stage(None)


@dataclass(frozen=True, slots=True)
class Create:
    """Make the deployment under an id, for the devices of a stage."""

    id: str
    stage: Stage
    priority: int
    """As wanted, but not below an earlier one: that would win, and vanish only later."""


@dataclass(frozen=True, slots=True)
class Update:
    """Change what may change of a deployment, for the devices of a stage."""

    live: Live
    stage: Stage
    priority: int


@dataclass(frozen=True, slots=True)
class Refuse:
    """Note on the earlier deployment that a later content was refused, until the spec changes."""

    live: Live
    attempt: str


@dataclass(frozen=True, slots=True)
class Remove:
    """Delete a deployment."""

    live: Live


Step = Create | Update | Refuse | Remove


@dataclass(frozen=True, slots=True)
class Decision:
    """What is done next, and where the content is on its way."""

    phase: Phase
    steps: Sequence[Step] = ()
    stage: Stage = WHOLE
    current: Live | None = None
    healthy_since: datetime | None = None
    drifted: tuple[str, ...] = ()
    """Fields that someone else has changed."""


@dataclass(frozen=True, slots=True)
class Known:
    """What the status remembers of a stage."""

    stage: str | None = None
    healthy_since: datetime | None = None


def decide(
    desired: Desired,
    rollout: Rollout | None,
    live: Sequence[Live],
    *,
    counts: Counts,
    known: Known,
    now: datetime,
) -> Decision:
    """Decide on the next step; `live` are our deployments, `counts` speak of the current one."""
    current = current_of(desired, live)
    earlier = [each for each in live if each is not current]
    if kept := returned_to(desired, live):
        leaving = [current] if current else [each for each in earlier if each is not kept]
        return Decision(Phase.RETURNED, tuple(map(Remove, leaving)))
    base = _base_of(desired, live)
    priority = max([desired.priority, *(each.priority for each in earlier)])
    if current is None:
        first = Stage(0) if rollout else WHOLE
        free = next((each for each in desired.ids if all(each != there.id for there in live)), desired.id)
        return Decision(Phase.ABSENT, (Create(free, first, priority),), first)
    stage = stage_of(current, rollout)
    if differing := differences(desired, rollout, current, stage, priority):
        drifted = differing if _same_wish(desired, rollout, current, stage) else ()
        return Decision(Phase.CHANGING, (Update(current, stage, priority),), stage, current, drifted=drifted)
    if rollout and (base or stage.index is not None) and _fails(counts, rollout.max_failed_percent):
        return _returning(desired, stage, current, base)
    if stage.index is None or rollout is None:
        gone = [Remove(each) for each in earlier if _is_replaced(each, current, counts, now)]
        return Decision(Phase.COMPLETE, gone, WHOLE, current)
    return _staged(rollout, current, priority, counts=counts, known=known, now=now)


def current_of(desired: Desired, live: Sequence[Live]) -> Live | None:
    """Return the deployment that has the content that is wanted."""
    return next((each for each in live if each.id in desired.ids and each.holds(desired)), None)


def returned_to(desired: Desired, live: Sequence[Live]) -> Live | None:
    """Return the deployment that the devices went back to, where the content that is wanted was refused."""
    base = _base_of(desired, live)
    return base if base and base.labels.get(REFUSED) == desired.attempt else None


def _base_of(desired: Desired, live: Sequence[Live]) -> Live | None:
    """Return the deployment that all devices had before the content that is wanted."""
    current = current_of(desired, live)
    complete = (each for each in live if each.labels.get(STAGE, COMPLETE) == COMPLETE)
    return next((each for each in complete if each is not current), None)


def stage_of(live: Live, rollout: Rollout | None) -> Stage:
    """Return the stage that a deployment is in; who has all devices keeps them."""
    label = live.labels.get(STAGE, COMPLETE)
    if rollout is None or not label.isdigit():
        return WHOLE
    return Stage(min(int(label), len(rollout.stages) - 1))


def stage_condition(
    desired: Desired, rollout: Rollout | None, stage: Stage, device_ids: Sequence[str]
) -> str:
    """Return the condition that chooses the devices of a stage and of those before it.

    `device_ids` are all devices that the deployment is for; only `wants_devices` stages use them.
    """
    if stage.index is None or rollout is None:
        return edge_query.short_enough(desired.condition)
    reached = [_part(each, device_ids) for each in rollout.stages[: stage.index + 1]]
    if None in reached:
        return edge_query.short_enough(desired.condition)
    return edge_query.short_enough(
        edge_query.both(desired.condition, edge_query.either([part for part in reached if part]))
    )


def wants_devices(rollout: Rollout | None, stage: Stage) -> bool:
    """Tell whether the condition of a stage is made from the ids of the devices."""
    reached = rollout.stages[: stage.index + 1] if rollout and stage.index is not None else ()
    shares = [each.percent for each in reached if each.percent is not None]
    return bool(shares) and max(shares) < 100  # noqa: PLR2004


def document(
    desired: Desired, rollout: Rollout | None, step: Create | Update, device_ids: Sequence[str]
) -> Json:
    """Return the deployment as the hub is told of it."""
    stage, deployment = step.stage, step.id if isinstance(step, Create) else step.live.id
    condition = stage_condition(desired, rollout, stage, device_ids)
    return {
        "id": deployment,
        "schemaVersion": "2.0",
        "labels": {**desired.labels, **_stage_labels(desired, rollout, stage, condition)},
        "content": {"modulesContent": desired.content},
        "targetCondition": condition,
        "priority": step.priority,
        "metrics": {"queries": desired.queries(deployment)},
    }


def differences(
    desired: Desired, rollout: Rollout | None, live: Live, stage: Stage, priority: int
) -> tuple[str, ...]:
    """Name what may change of a deployment and is not as it is wanted."""
    found = []
    labels = {**desired.labels, **_stage_labels(desired, rollout, stage, live.condition)}
    if not labels.items() <= live.labels.items():
        is_condition = live.labels.get(CONDITION) != labels[CONDITION]
        found.append("targetCondition" if is_condition else "labels")
    if live.priority != priority:
        found.append("priority")
    if ((live.document.get("metrics") or {}).get("queries") or {}) != desired.queries(live.id):
        found.append("metrics")
    return tuple(found)


def _returning(desired: Desired, stage: Stage, current: Live, base: Live | None) -> Decision:
    """Go back to the content that all devices have, if there is one."""
    if base is None:
        return Decision(Phase.HALTED, (), stage, current)
    return Decision(Phase.RETURNING, (Refuse(base, desired.attempt),), stage, current)


def _staged(
    rollout: Rollout,
    current: Live,
    priority: int,
    *,
    counts: Counts,
    known: Known,
    now: datetime,
) -> Decision:
    stage = stage_of(current, rollout)
    index = stage.index or 0
    wanted = rollout.stages[index]
    if not _is_healthy(wanted, current, counts, now):
        return Decision(Phase.STAGED, (), stage, current)
    since = known.healthy_since if known.stage == stage.label else None
    since = since or now
    if (now - since).total_seconds() < max(wanted.wait_seconds, TWO_LOOKS_SECONDS):
        return Decision(Phase.STAGED, (), stage, current, since)
    following = Stage(index + 1) if index + 1 < len(rollout.stages) else WHOLE
    return Decision(Phase.STAGED, (Update(current, following, priority),), stage, current, since)


def _fails(counts: Counts, most: int) -> bool:
    seen = counts.seen
    return bool(seen) and counts.failed is not None and counts.failed * 100 > most * (seen or 0)


def _is_healthy(stage: RolloutStage, current: Live, counts: Counts, now: datetime) -> bool:
    """Tell whether enough of the devices that are seen run the new content; no device is enough of none."""
    if _age(current, now) < lag(current, counts) or counts.targeted is None:
        return False
    if counts.targeted == 0:
        return _age(current, now) >= SETTLED_SECONDS
    if counts.applied is None or counts.applied < counts.targeted or counts.running is None:
        return False
    return bool(counts.seen) and counts.running * 100 >= stage.min_healthy_percent * (counts.seen or 0)


def _is_replaced(earlier: Live, current: Live, counts: Counts, now: datetime) -> bool:
    """Tell whether every device that had the earlier deployment has the current one."""
    age = _age(current, now)
    if age < lag(current, counts) or counts.targeted is None or counts.applied is None:
        return False
    if 0 < counts.targeted <= counts.applied:
        return True
    had = earlier.counts.applied
    return age >= SETTLED_SECONDS and (counts.targeted == 0 or (had is not None and had <= counts.applied))


def lag(current: Live, counts: Counts) -> float:
    """Return for how many seconds after a change the counts may be of before."""
    return LAG_SECONDS if counts.is_close or current.is_as_made else COUNTED_SECONDS


def _age(live: Live, now: datetime) -> float:
    return (now - live.changed).total_seconds() if live.changed else 0.0


def _part(stage: RolloutStage, device_ids: Sequence[str]) -> str | None:
    """Return the condition of one stage; None is the whole fleet."""
    if stage.target_condition is not None:
        return None if stage.target_condition == "*" else stage.target_condition
    percent = stage.percent or 0
    return None if percent == 100 else edge_query.share(device_ids, percent)  # noqa: PLR2004


def _stage_labels(
    desired: Desired, rollout: Rollout | None, stage: Stage, condition: str
) -> Mapping[str, str]:
    """Tell the stage, what its condition was made for, and what it is: a share depends on the devices."""
    reached = rollout.stages[: stage.index + 1] if rollout and stage.index is not None else ()
    wanted = [desired.condition, *(each.model_dump(mode="json", include=_CHOICE) for each in reached)]
    return {STAGE: stage.label, CONDITION: f"{_hash(wanted)}-{_hash(condition)}"}


_CHOICE = {"target_condition", "percent"}


def _same_wish(desired: Desired, rollout: Rollout | None, live: Live, stage: Stage) -> bool:
    """Tell whether the labels speak of what is wanted now, so that someone else has changed the rest."""
    wanted = {**desired.labels, **_stage_labels(desired, rollout, stage, "")}
    told = live.labels.get(CONDITION, "").partition("-")[0]
    rest = {name: value for name, value in wanted.items() if name != CONDITION}
    return rest.items() <= live.labels.items() and wanted[CONDITION].partition("-")[0] == told


def _hash(value: object) -> str:
    return sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]
