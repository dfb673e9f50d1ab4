"""A small model of Azure, of a ModelDeployment, and of operators that see it late and die in between."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from container_groups import CLUSTER, CONTENT, IMAGE, KEY, aci_spec, place, shown
from deployments import CREATED, Spec, subject

from berth.core.errors import Conflict
from berth.plan.container_group import Desired, Recipe, desired_group
from berth.plan.group_changes import Way, update
from berth.plan.group_plan import Delete, Put, Sight, Start, Step, Tag, plan
from berth.plan.group_quota import Room, Usage
from berth.plan.group_slots import Outlook, Work, look, named, refuse_the_past, told_slot
from berth.plan.group_status import Observation, is_serving
from berth.plan.group_succession import Succession, plan_succession, unvalidated
from berth.plan.report import next_status
from berth.plan.subject import Subject

START_SECONDS = 30.0
FAILS, HANGS = "fails", "hangs"
WISHES: dict[str, Spec] = {
    **{value: {"env": [{"name": "A", "value": value}]} for value in ("a", "b", FAILS, HANGS)},
    "large": {"resources": {"requests": {"cpu": 2}}},
}


@dataclass
class There:
    """A group that was put at some time, and may have been told to go."""

    name: str
    body: dict[str, Any]
    at: float
    gone_at: float | None = None


@dataclass
class World:
    """What Azure and the API server hold."""

    seconds: float = 0.0
    groups: dict[str, There] = field(default_factory=dict)
    has_room: bool = True
    deletion_seconds: float = 0.0
    model: bytes = b"model"

    def __post_init__(self) -> None:
        self.stored = subject(self._spec("a", "BlueGreen"))

    @property
    def now(self) -> datetime:
        return datetime.fromisoformat(CREATED) + timedelta(seconds=self.seconds)

    def wish(self, wanted: str, strategy: str = "BlueGreen") -> None:
        """Let the user apply another spec."""
        there = self.stored.metadata
        fresh = subject(self._spec(wanted, strategy), generation=there.generation + 1)
        self.stored = fresh.model_copy(update={"status": self.stored.status})

    @staticmethod
    def _spec(wanted: str, strategy: str) -> Spec:
        return aci_spec(auth={"mode": "None"}, aci={"updateStrategy": strategy}, **WISHES[wanted])

    def recipe(self, of: Subject) -> Recipe:
        maps = {**CONTENT.config_maps, "iris": {"model.onnx": self.model}}
        recipe = Recipe(of, place(), CLUSTER, replace(CONTENT, config_maps=maps))
        return replace(recipe, slot=told_slot(recipe))

    def show(self) -> dict[str, dict[str, Any]]:
        """Give the groups as GET shows them; that one is being deleted is not shown."""
        return {name: self._shown(there) for name, there in self.groups.items()}

    def _shown(self, there: There) -> dict[str, Any]:
        wanted = Desired(there.name, there.body)
        fate = str(there.body["properties"]["containers"][0]["properties"].get("environmentVariables"))
        if FAILS in fate:
            return shown(wanted, "Failed", provisioningState="Failed")
        if HANGS in fate or self.seconds - there.at < START_SECONDS:
            return shown(wanted, "Pending", provisioningState="Creating")
        group = shown(wanted)
        group["properties"]["ipAddress"]["fqdn"] = f"{there.name}.test"
        group["properties"]["containers"][0]["properties"]["instanceView"] = {
            "currentState": {"state": "Running"}
        }
        return group

    def answers(self, name: str | None) -> bool:
        """Tell whether callers who use this group get an answer."""
        there = self.groups.get(name or "")
        return there is not None and is_serving(self._shown(there))

    @property
    def told(self) -> str | None:
        """The group that the status names."""
        return named(self.stored)

    @property
    def is_ready(self) -> bool:
        first = next(iter(self.stored.status.conditions or ()), None)
        is_current = first is not None and first.observed_generation == self.stored.metadata.generation
        return is_current and first is not None and (first.type, first.status) == ("Ready", "True")

    def pass_time(self, seconds: float) -> None:
        self.seconds += seconds
        self.groups = {
            name: there
            for name, there in self.groups.items()
            if there.gone_at is None or there.gone_at > self.seconds
        }

    def take(self, step: Step) -> None:
        """Do what Azure is asked for."""
        match step:
            case Put(name, body):
                there = self.groups.get(name)
                assert there is None or there.gone_at is None, "nothing is put where a deletion has begun"
                if there:
                    assert update(Desired(name, body), self._shown(there)).way is not Way.RECREATE
                self.groups[name] = There(name, body, self.seconds)
            case Tag(name, tags) if name in self.groups:
                self.groups[name].body = self.groups[name].body | {"tags": tags}
            case Delete(name) if name in self.groups:
                there = self.groups[name]
                there.gone_at = there.gone_at or self.seconds + self.deletion_seconds
                self.pass_time(0)
            case Tag() | Delete():
                pass
            case Start():
                raise AssertionError("nobody stops a group")


@dataclass
class Operator:
    """An operator, and the ModelDeployment as its watch told it last."""

    world: World

    def __post_init__(self) -> None:
        self.hear()

    def hear(self) -> None:
        """Let the watch tell what is stored; so does a restart."""
        self.seen = self.world.stored

    def run(self, killed_after: int | None = None) -> None:
        """Run one pass, or the first steps of it."""
        world, of = self.world, self.seen
        groups = world.show()
        recipe = world.recipe(of)
        try:
            refuse_the_past(of, groups)
        except Conflict:
            return
        outlook = look(recipe, groups, _build, lambda change: change)
        decided = self._decide(of, outlook)
        for number, step in enumerate(decided.steps):
            if number == killed_after:
                break
            world.take(step)
        if killed_after is not None:
            self.hear()
            return
        status = next_status(of, decided.draft, world.now)
        world.stored = world.stored.model_copy(update={"status": status})
        if world.stored.metadata == of.metadata:
            self.seen = world.stored

    def _decide(self, of: Subject, outlook: Outlook) -> Any:
        if outlook.live is None:
            sight = replace(self._sight(outlook.work), strays=outlook.strays)
            return plan(of, sight, self.world.now)
        heir = replace(self._sight(outlook.work), strays=outlook.strays)
        answers = self.world.answers(outlook.live["name"])
        seen = Succession(outlook.live, answers, heir, outlook.drifted, is_refused=outlook.is_refused)
        return plan_succession(unvalidated(of), seen, self.world.now)

    def _sight(self, work: Work) -> Sight:
        room = Room("eastus", 1, None, Usage(1, 2 if self.world.has_room else 1))
        if work.group is None:
            return Sight(work.desired, work.change, Observation(room=room if self.world.groups else None))
        return Sight(work.desired, work.change, Observation(work.group, work.change.way))


def _build(recipe: Recipe, group: Any) -> Desired:
    return desired_group(recipe, IMAGE, KEY, group)
