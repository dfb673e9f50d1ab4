"""Watches that begin when someone first wants to know what they tell, and who hears of news."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping
from typing import Any, Generic, Protocol, TypeVar

from berth.core.errors import Postponed, ReconcileError
from berth.core.keys import Key
from berth.plan.observed import key_of
from berth.plan.resources import Resource
from berth.targets.base import Object

T = TypeVar("T")

_SETTLING_SECONDS = 0.5

Wake = Callable[[], None]


class Following(Protocol):
    """Follows the objects that selectors match, and tells a listener."""

    @property
    def settled(self) -> asyncio.Event:
        """Set once they were listed, or it is known why not."""

    @property
    def refusal(self) -> ReconcileError | None:
        """Why they cannot be followed."""

    def run(self) -> Coroutine[Any, Any, None]:
        """Follow them for ever."""


class Follow(Protocol):
    """Makes what follows objects."""

    def __call__(
        self, resource: Resource, listener: "Known[Any]", *, labels: str = "", fields: str = ""
    ) -> Following:
        """Follow the objects of a kind that the selectors match."""


class Known(Generic[T]):
    """What is known of the objects that one watch tells of."""

    def __init__(self, read: Callable[[Object], T | None], changed: Wake) -> None:
        self.objects: dict[Key, T] = {}
        self._read = read
        self._changed = changed

    def changed(self, resource: Resource, raw: Object) -> None:  # noqa: ARG002
        """Hear that an object was added or modified."""
        self._set(key_of(raw), self._read(raw))

    def vanished(self, resource: Resource, raw: Object) -> None:  # noqa: ARG002
        """Hear that an object is not matched any more."""
        self._set(key_of(raw), None)

    def listed(self, resource: Resource, namespace: str, present: Mapping[Key, str], version: int) -> None:  # noqa: ARG002
        """Hear all that are matched."""
        for key in set(self.objects) - set(present):
            self.objects.pop(key)
        self._changed()

    def _set(self, key: Key, value: T | None) -> None:
        if value == self.objects.get(key):
            return
        if value is None:
            self.objects.pop(key)
        else:
            self.objects[key] = value
        self._changed()


class Scope(Generic[T]):
    """One watch, and what it has told."""

    def __init__(self, known: Known[T], following: Following) -> None:
        self._known = known
        self._following = following
        self._task: asyncio.Task[None] | None = None

    @property
    def objects(self) -> Collection[T]:
        """What is there."""
        return self._known.objects.values()

    @property
    def is_settled(self) -> bool:
        """Whether it has told what is there, or why it cannot."""
        return self._following.settled.is_set()

    @property
    def refusal(self) -> ReconcileError | None:
        """Why it cannot tell."""
        return self._following.refusal

    def begin(self, group: asyncio.TaskGroup) -> None:
        """Follow from now on."""
        self._task = group.create_task(self._following.run())

    def end(self) -> None:
        """Follow no more."""
        if self._task is not None:
            self._task.cancel()


class Watches(ABC):
    """Some watches with one purpose; asks the API server nothing until someone wants to know."""

    def __init__(self, follow: Follow) -> None:
        self._follow = follow
        self._news = asyncio.Event()
        self._listeners: dict[object, Wake] = {}

    async def run(self) -> None:
        """Follow what is asked for, for ever."""
        await self._news.wait()
        async with asyncio.TaskGroup() as group:
            for scope in self._always():
                scope.begin(group)
            while True:
                await self._news.wait()
                self._news.clear()
                self._adapt(group)
                for wake in tuple(self._listeners.values()):
                    wake()

    def tell(self, who: object, wake: Wake) -> None:
        """Call `wake` whenever there are news."""
        self._listeners[who] = wake

    def forget(self, who: object) -> None:
        """Tell someone no more."""
        self._listeners.pop(who, None)

    def end(self) -> None:
        """Follow no more, for the process ends."""
        for scope in self._always():
            scope.end()

    @abstractmethod
    def _always(self) -> Iterable[Scope[Any]]:
        """Give the watches that stay once they have begun."""

    @abstractmethod
    def _adapt(self, group: asyncio.TaskGroup) -> None:
        """Begin and end watches that depend on what others tell."""

    def _begin(self) -> None:
        self._news.set()

    def _scope(
        self,
        resource: Resource,
        read: Callable[[Object], T | None],
        *,
        labels: str = "",
        fields: str = "",
    ) -> Scope[T]:
        known = Known(read, self._news.set)
        return Scope(known, self._follow(resource, known, labels=labels, fields=fields))


def refusal_of(scopes: Iterable[Scope[Any] | None]) -> ReconcileError | None:
    """Return why one of them cannot tell; raises Postponed where some have only begun."""
    found = list(scopes)
    if any(scope is None or not scope.is_settled for scope in found):
        raise Postponed("Devices are being counted", _SETTLING_SECONDS)
    return next((scope.refusal for scope in found if scope is not None and scope.refusal), None)
