"""Which container group of a ModelDeployment is the live one, and which is to take over from it.

Tags say so, since they survive the operator, and a change of them restarts nothing. A group that is made
beside the live one has the next turn; the live one is the first in turn that does not retire.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Self

from berth.api.aci import AciUpdateStrategy
from berth.api.conditions import ConditionType, Reason
from berth.core.errors import Conflict
from berth.plan.container_group import Desired, Recipe
from berth.plan.group_changes import Update, Way, update
from berth.plan.group_names import GENERATION, Slot, tags_of
from berth.plan.subject import Subject

TURN = "berth-turn"
RETIRES = "berth-retires"
"""From when on the group may be deleted; it never serves again, since its deletion may have begun."""
REFUSED = "berth-refused"
"""On the live group: what was wanted in its place and has failed."""

_CANNOT_ANSWER = frozenset({"Pending", "Stopped", "Failed", "Succeeded"})

Json = Mapping[str, Any]
Build = Callable[[Recipe, Json | None], Desired]
Pace = Callable[[Update], Update]


@dataclass(frozen=True, slots=True)
class Refusal:
    """What is not tried again, and why."""

    fingerprint: str
    reason: Reason

    @classmethod
    def read(cls, live: Json) -> Self | None:
        """Return what the live group says was refused."""
        fingerprint, _, reason = tags_of(live).get(REFUSED, "").partition(" ")
        known = Reason(reason) if reason in set(Reason) else Reason.NOT_READY
        return cls(fingerprint, known) if fingerprint else None

    def __str__(self) -> str:
        return f"{self.fingerprint} {self.reason}"


@dataclass(frozen=True, slots=True)
class Work:
    """The group that is brought to what is wanted."""

    recipe: Recipe
    desired: Desired
    group: Json | None
    change: Update

    @property
    def is_done(self) -> bool:
        """Tell whether the group was sent as it is wanted."""
        return self.group is not None and self.change.way <= Way.TAGS


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is to be worked on, and what else is there."""

    work: Work
    strays: Sequence[Json] = ()
    """Groups that have no future."""
    live: Json | None = None
    """The group that serves meanwhile, where the work is on one that is to take over from it."""
    drifted: tuple[str, ...] = ()
    """What someone else has changed of the live one."""
    is_refused: bool = False
    """What is wanted has failed before."""


def named(subject: Subject) -> str | None:
    """Return the name of the group whose address callers are told."""
    told = subject.status.aci.resource_id if subject.status.aci else None
    return told.rpartition("/")[2] if told else None


def slots(recipe: Recipe) -> dict[str, Slot]:
    """Return the slots by the names that groups have in them."""
    return {replace(recipe, slot=slot).name: slot for slot in Slot}


def told_slot(recipe: Recipe) -> Slot:
    """Return the slot that callers are told, else the first."""
    return slots(recipe).get(named(recipe.subject) or "", Slot.BLUE)


def likely_names(recipe: Recipe) -> list[str]:
    """Name the groups that may be there, as far as the status tells."""
    told, both = named(recipe.subject), list(slots(recipe))
    kinds = {each.type for each in recipe.subject.status.conditions or ()}
    if told and told not in both:
        return [*both, told]
    is_blue_green = recipe.aci.update_strategy is AciUpdateStrategy.BLUE_GREEN
    return both if is_blue_green or ConditionType.SUCCESSOR_READY in kinds else [recipe.name]


def live_among(groups: Mapping[str, Json], told: str | None) -> Json | None:
    """Return the group that serves, or that is to serve before any other."""
    staying = [group for group in groups.values() if not is_retiring(group)]
    return min(staying, key=lambda group: (turn(group), group["name"] != told, group["name"]), default=None)


def turn(group: Json) -> int:
    """Return how many groups came before it, one after the other."""
    told = tags_of(group).get(TURN, "")
    return int(told) if told.isdecimal() else 0


def is_retiring(group: Json) -> bool:
    """Tell whether the group is about to go."""
    return RETIRES in tags_of(group)


def is_due(group: Json, now: datetime) -> bool:
    """Tell whether a retiring group may be deleted."""
    try:
        return datetime.fromisoformat(tags_of(group)[RETIRES]) <= now
    except ValueError:
        return True


def retiring(group: Json, since: datetime) -> dict[str, str]:
    """Return the tags of a group that may be deleted from then on."""
    return tags_of(group) | {RETIRES: since.isoformat(timespec="seconds")}


def may_answer(group: Json) -> bool:
    """Tell whether callers may lose something when the group is restarted."""
    properties = group["properties"]
    state = (properties.get("instanceView") or {}).get("state")
    return properties.get("provisioningState") != "Failed" and state not in _CANNOT_ANSWER


def refuse_the_past(subject: Subject, groups: Mapping[str, Json]) -> None:
    """Raise Conflict where a group was made for a later spec: another operator knows more."""
    for group in groups.values():
        made_for = tags_of(group).get(GENERATION, "")
        if made_for.isdecimal() and int(made_for) > subject.metadata.generation:
            raise Conflict(f"Container group {group['name']} was made for generation {made_for} already")


def look(recipe: Recipe, groups: Mapping[str, Json], build: Build, pace: Pace) -> Outlook:
    """Choose the group to work on; `pace` leaves alone what others change again and again."""
    live = live_among(groups, named(recipe.subject))
    if live is None:
        return Outlook(_made_first(recipe, groups, build), list(groups.values()))
    own = _work(replace(recipe, slot=slots(recipe).get(live["name"], Slot.BLUE)), live, build)
    is_elsewhere = own.desired.name != live["name"]
    heir = _heir(own.recipe if is_elsewhere else _beside(own.recipe), groups, build)
    is_refused = _is_refused(live, heir)
    if heir.group is not None:
        heir = replace(heir, change=pace(heir.change))
    elif not is_refused:
        own = replace(own, change=pace(own.change))
    if own.is_done or not (is_elsewhere or _is_succeeded(own, heir, is_refused=is_refused)):
        return Outlook(own, _others(groups, live))
    drifted = own.change.fields if own.change.drifted else ()
    return Outlook(heir, _others(groups, live, heir.group), live, drifted, is_refused=is_refused)


def _made_first(recipe: Recipe, groups: Mapping[str, Json], build: Build) -> Work:
    """Use the slot that callers know, unless a group that retires is still in it."""
    return _work(_beside(recipe) if recipe.name in groups else recipe, None, build)


def _heir(recipe: Recipe, groups: Mapping[str, Json], build: Build) -> Work:
    found = groups.get(recipe.name)
    return _work(recipe, None if found is None or is_retiring(found) else found, build)


def _work(recipe: Recipe, group: Json | None, build: Build) -> Work:
    desired = build(recipe, group)
    return Work(recipe, desired, group, update(desired, group) if group else Update(Way.NOTHING))


def _beside(recipe: Recipe) -> Recipe:
    return replace(recipe, slot=Slot.GREEN if recipe.slot is Slot.BLUE else Slot.BLUE)


def _is_succeeded(own: Work, heir: Work, *, is_refused: bool) -> bool:
    """Tell whether another group takes over; one that was begun well is not given up for another strategy."""
    if own.recipe.aci.update_strategy is AciUpdateStrategy.BLUE_GREEN:
        return heir.group is not None or (own.group is not None and may_answer(own.group))
    return heir.is_done and not is_refused


def _is_refused(live: Json, heir: Work) -> bool:
    refusal = Refusal.read(live)
    return refusal is not None and refusal.fingerprint == heir.desired.fingerprint


def _others(groups: Mapping[str, Json], *known: Json | None) -> list[Json]:
    return [group for group in groups.values() if not any(group is each for each in known)]
