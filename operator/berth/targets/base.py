"""What every compute target offers to the one reconcile, and what targets need of the world."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol

from berth.core.keys import Key
from berth.core.results import Result
from berth.plan.report import Draft, Event
from berth.plan.resources import Resource
from berth.plan.subject import Subject

Object = dict[str, Any]


class Plan(Protocol):
    """What one pass will do and say."""

    @property
    def steps(self) -> Sequence[object]:
        """The changes; none where all is as it is wanted."""

    @property
    def draft(self) -> Draft | None:
        """The status; None where it is about to change and need not be written yet."""

    @property
    def events(self) -> Sequence[Event]:
        """What happened besides the change of conditions."""

    @property
    def result(self) -> Result:
        """When to look again."""


class Target(Protocol):
    """A place that serves models.

    The methods raise `Terminal`, `Transient`, `Conflict` or `Gone`, which one place turns into conditions.
    """

    async def observe(self, subject: Subject) -> Any:  # noqa: ANN401 - known to the target alone
        """Look at what is there."""

    def plan(self, subject: Subject, observation: Any, now: datetime) -> Plan:  # noqa: ANN401
        """Decide, without any I/O."""

    async def act(self, subject: Subject, plan: Any) -> None:  # noqa: ANN401
        """Carry out the steps of the plan."""

    async def end(self, subject: Subject) -> Result:
        """Leave nothing outside the cluster of a ModelDeployment that is deleted; never waits for it."""

    def forget(self, key: Key) -> None:
        """End what goes on between the passes for a ModelDeployment that is gone or suspended."""


class Listing(Protocol):
    """The objects of a kind at one moment."""

    @property
    def items(self) -> list[Object]:
        """The objects."""


class Cluster(Protocol):
    """The verbs of a Kubernetes API server that targets use."""

    async def get(self, resource: Resource, key: Key) -> Object:
        """Read one object; raises Gone."""

    async def list(
        self, resource: Resource, namespace: str = "", *, labels: str = "", fields: str = ""
    ) -> Listing:
        """Read the objects that the selectors match."""

    async def apply(
        self, resource: Resource, body: Object, *, manager: str = ..., force: bool = True
    ) -> Object:
        """Create or change an object by server-side apply; raises Conflict without `force`."""

    async def create(self, resource: Resource, body: Object) -> Object:
        """Create an object; raises Conflict if it exists."""

    async def merge_patch(self, resource: Resource, key: Key, patch: Object) -> Object:
        """Change the given fields."""

    async def delete(self, resource: Resource, key: Key, *, uid: str) -> None:
        """Delete the object that has this uid."""
