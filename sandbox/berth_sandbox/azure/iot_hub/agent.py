"""What the agent of a device does and reports, as it follows from what it is told.

Devices with the same past share their situations, so that a fleet costs what differs in it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from berth_sandbox.azure.iot_hub import manifest_rules
from berth_sandbox.azure.iot_hub.content import Manifest
from berth_sandbox.azure.iot_hub.manifest_rules import EMPTY, SUCCESS, Rules, Status
from berth_sandbox.azure.iot_hub.modules import NEVER, Life, ModuleBehaviour, ModuleView
from berth_sandbox.azure.names import Document

PERIOD = 5.0  # the agent looks at its modules this often
DELIVERY_SECONDS = 2.0
CHECK_SECONDS = 1.0
RUNTIME: Document = {"type": "docker", "settings": {"minDockerVersion": "v1.25"}}
LAST_TO_START = 4_294_967_295


@dataclass(frozen=True, eq=False)
class Conditions:
    """How a device fares: whether it reaches the hub, how slow it is, and what images do on it."""

    online: bool = True
    slowness: float = 1.0
    delivery_seconds: float = DELIVERY_SECONDS
    behaviours: Mapping[str, ModuleBehaviour] = field(default_factory=dict)
    otherwise: ModuleBehaviour = field(default_factory=ModuleBehaviour)

    def behaviour(self, image: str) -> ModuleBehaviour:
        """Return what a module of an image does."""
        return self.behaviours.get(image, self.otherwise)


@dataclass(frozen=True, eq=False)
class Told:
    """What a device is told: its manifest, by which deployments, and which others mean it in vain."""

    manifest: Manifest
    applied: tuple[str, ...] = ()
    targeted: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """What the agent does about its situation: from when to when, and what then runs."""

    start: float
    done: float
    before: Mapping[str, Life]
    after: Mapping[str, Life]
    status: Status
    version: int  # of the desired properties that the agent acted on last
    number: int  # of reports before this
    runtime: Document = field(default_factory=lambda: RUNTIME)


@dataclass(frozen=True)
class Report:
    """What the agent reported last; it does not change before `until`."""

    version: int
    status: Status
    views: Mapping[str, tuple[Life, ModuleView]]
    number: int
    since: float
    until: float
    runtime: Document


class Situation:
    """What a device is told and how it fares, from a moment on; what it was before is the `parent`."""

    __slots__ = (
        "_children",
        "_latest",
        "at",
        "conditions",
        "known_plan",
        "parent",
        "rules",
        "told",
        "version",
    )

    def __init__(
        self, at: float, told: Told, conditions: Conditions, rules: Rules, parent: "Situation | None" = None
    ) -> None:
        self.at = at
        self.told = told
        self.conditions = conditions
        self.rules = rules
        self.parent = parent
        self.version = 1
        if parent:
            self.version = parent.version + (told.manifest.agent != parent.told.manifest.agent)
        self.known_plan: Plan | None = None if parent else Plan(at, at + CHECK_SECONDS, {}, {}, EMPTY, 0, 0)
        self._children: dict[tuple[float, Told, Conditions], Situation] = {}
        self._latest: Report | None = None

    def then(self, at: float, told: Told, conditions: Conditions) -> "Situation":
        """Return the situation that follows; it is the same for all to whom the same happens."""
        key = (at, told, conditions)
        if key not in self._children:
            self._children[key] = Situation(at, told, conditions, self.rules, self)
        return self._children[key]

    def by(self, moment: float) -> "Situation":
        """Return what the situation was at an earlier moment."""
        found = self
        while found.at > moment and found.parent:
            found = found.parent
        return found

    def report(self, now: float) -> Report | None:
        """Return what the hub knows from the agent."""
        situation, moment = self, now
        while True:
            plan = situation.plan()
            if situation.conditions.online and moment >= plan.done:
                return situation.report_of(plan, moment)
            if situation.parent is None:
                return None
            if not situation.conditions.online:
                moment = min(moment, situation.at)
            situation, moment = situation.parent, min(moment, plan.start)

    def acted_on(self, now: float) -> "Situation":
        """Return the latest situation that the agent has done something about."""
        situation = self
        while now < situation.plan().done and situation.parent:
            situation = situation.parent
        return situation

    def lives(self, now: float) -> Mapping[str, Life]:
        """Return what runs on the device, whether or not the hub knows it."""
        plan = self.acted_on(now).plan()
        return plan.after if now >= plan.done else {}

    def last_heard(self, now: float) -> float:
        """Return when the device was in touch with the hub for the last time."""
        situation, moment = self, now
        while not situation.conditions.online and situation.parent:
            situation, moment = situation.parent, situation.at
        return moment

    def plan(self) -> Plan:
        """Return what the agent does about this situation; earlier ones are worked out first."""
        unplanned, situation = [], self
        while situation.known_plan is None and situation.parent:
            unplanned.append(situation)
            situation = situation.parent
        for each in reversed(unplanned):
            each.known_plan = each.worked_out(_parent(each))
        assert self.known_plan
        return self.known_plan

    def worked_out(self, parent: "Situation") -> Plan:
        """Return what the agent does here after what it did before."""
        arrives = self.at + self.conditions.delivery_seconds if self.conditions.online else NEVER
        base = parent
        # What the agent had not begun by now it will never begin: only the latest counts.
        while base.plan().start >= arrives and base.parent:
            base = base.parent
        earlier = base.plan()
        if arrives == NEVER:
            return Plan(NEVER, NEVER, earlier.after, earlier.after, earlier.status, earlier.version, 0)
        start = max(arrives, earlier.done)
        latest = base.report_of(earlier, start)
        if problem := self.rules(self.told.manifest):
            done = start + CHECK_SECONDS
            lives = earlier.after
            return Plan(start, done, lives, lives, problem, earlier.version, latest.number, earlier.runtime)
        done, lives, failures = self._carried_out(start, earlier.after)
        status = (500, f"One or more errors occurred. ({') ('.join(failures)})") if failures else SUCCESS
        runtime = self.told.manifest.agent["runtime"]
        return Plan(start, done, earlier.after, lives, status, self.version, latest.number, runtime)

    def _carried_out(
        self, start: float, running: Mapping[str, Life]
    ) -> tuple[float, dict[str, Life], list[str]]:
        """Pull and start what is new, one after the other; what cannot be pulled stays as it was."""
        moment, lives, failures = start, dict[str, Life](), list[str]()
        modules = manifest_rules.every_module(self.told.manifest.agent)
        for name, spec in sorted(modules.items(), key=_startup_order):
            old = running.get(name)
            if old and old.spec == spec:
                lives[name] = old
                continue
            image = spec["settings"]["image"]
            behaviour = self.conditions.behaviour(image)
            if old is None or old.spec["settings"]["image"] != image:
                moment += behaviour.pull_seconds * self.conditions.slowness
                if behaviour.pull_error:
                    failures.append(_pull_failure(name, image, behaviour.pull_error))
                    lives |= {name: old} if old else {}
                    continue
            moment += behaviour.start_seconds * self.conditions.slowness
            lives[name] = Life(spec, behaviour, moment)
        return max(moment, start + CHECK_SECONDS), lives, failures

    def report_of(self, plan: Plan, now: float) -> Report:
        """Return the report of a plan that is done; of what it changed only the next report tells."""
        if self._latest and self._latest.since <= now < self._latest.until:
            return self._latest
        if now < plan.done + PERIOD:
            views = {name: (life, life.view(plan.start)) for name, life in plan.before.items()}
            return Report(
                plan.version, plan.status, views, plan.number + 1, now, plan.done + PERIOD, plan.runtime
            )
        views = {name: (life, life.view(now)) for name, life in plan.after.items()}
        number = plan.number + 2 + sum(view.changes for _, view in views.values())
        until = min((view.until for _, view in views.values()), default=NEVER)
        self._latest = Report(plan.version, plan.status, views, number, now, until, plan.runtime)
        return self._latest


def _parent(situation: Situation) -> Situation:
    assert situation.parent
    return situation.parent


def _startup_order(entry: tuple[str, Mapping[str, Any]]) -> tuple[int, str]:
    name, spec = entry
    return spec.get("startupOrder", 0 if name in {"edgeAgent", "edgeHub"} else LAST_TO_START), name


def _pull_failure(module: str, image: str, error: str) -> str:
    return (
        f"Error calling prepare update for module {module}: Could not pull image {image}, "
        f"StatusCode:404, at: {error}"
    )
