"""What an operator remembers of a container group to spare calls and restarts; a new one does without."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from berth.core.results import SLOW_ROUND_SECONDS
from berth.plan.group_changes import Update, Way
from berth.plan.group_recovery import Setback, has_ended, is_due, is_given_up, setback
from berth.plan.group_slots import Work
from berth.plan.subject import Subject
from berth.targets.azure import Site

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Repair:
    """What was put back, of what was wanted."""

    at: float
    generation: int
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Known:
    """What the last GET showed of a group that served."""

    uid: str
    at: float
    group: Json


@dataclass(slots=True)
class Memory:
    """What is remembered of one ModelDeployment."""

    site: Site
    known: Known | None = None
    setback: Setback | None = None
    """What Azure has given up, and earlier passes have made again."""
    last_words: dict[str, str] = field(default_factory=dict)
    """What containers wrote before they ended: one that runs again shows none of it."""
    _repair: Repair | None = None
    """What an earlier pass has put back."""
    _begun: Repair | None = None
    """What this pass puts back."""
    _retry: Setback | None = None
    """What this pass makes again."""

    def begin_pass(self, site: Site) -> None:
        """Leave what the last pass meant to do, unless it was done."""
        self.site, self._begun, self._retry = site, None, None

    def note_step(self) -> None:
        """Remember what this pass does, now that it is done."""
        self._repair = self._begun or self._repair
        self.setback = self._retry or self.setback
        self.last_words.clear()

    def paced(self, subject: Subject, change: Update, *, now: float) -> Update:
        """Put the same back once in a slow round: each time restarts, and a policy of Azure's would win."""
        if not change.drifted:
            return change
        repair, last = Repair(now, subject.metadata.generation, change.fields), self._repair
        if last and replace(repair, at=last.at) == last and now - last.at < SLOW_ROUND_SECONDS:
            return Update(Way.NOTHING)
        self._begun = repair
        return change

    def retried(self, work: Work, *, now: float) -> Work:
        """Make again what Azure gave up, once its pause is over."""
        group, subject = work.group, work.recipe.subject
        if group is None or work.change.way > Way.TAGS or not (is_given_up(group) or has_ended(group)):
            return work
        self.setback = setback(self.setback, work.desired.fingerprint, now)
        if not is_due(subject, group, self.setback, now):
            return work
        self._retry = self.setback.again(now)
        return replace(work, change=Update(Way.RECREATE))
