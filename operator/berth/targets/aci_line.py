"""Who waits for room: first come, first served, among those who wait for the same."""

from collections.abc import Iterable
from dataclasses import dataclass

from berth.core.keys import Key
from berth.plan.group_quota import Ahead
from berth.plan.subject import Subject
from berth.targets.azure import Site

Place = tuple[str, str]
"""A subscription, and a resource group or a region of it."""


@dataclass(slots=True)
class _Wait:
    since: str
    resource_group: Place
    region: Place
    is_held: bool = False
    """Its resource group's own quota is used up, so that it takes nothing from others."""


class Lines:
    """Remembers who waits where, and which groups were asked for."""

    def __init__(self) -> None:
        self._waiting: dict[Key, _Wait] = {}
        self._granted: dict[Key, tuple[Place, str]] = {}

    def join(self, subject: Subject, site: Site, location: str) -> Ahead:
        """Wait, and return how many came before; who came first is older, which outlives a restart.

        Who is suspended lets the others pass.
        """
        known = self._waiting.pop(subject.key, None)
        subscription = site.place.subscription_id.lower()
        wait = _Wait(
            subject.metadata.creation_timestamp,
            _resource_group(site),
            (subscription, location),
            known is not None and known.is_held,
        )
        earlier = [
            each for key, each in self._waiting.items() if (each.since, key) < (wait.since, subject.key)
        ]
        if not subject.spec.suspend:
            self._waiting[subject.key] = wait
        return Ahead(
            _count(each.resource_group == wait.resource_group for each in earlier),
            _count(each.region == wait.region and not each.is_held for each in earlier),
        )

    def hold(self, key: Key, is_held: bool) -> None:
        """Learn whether it waits for its resource group's own quota."""
        if wait := self._waiting.get(key):
            wait.is_held = is_held

    def grant(self, key: Key, site: Site, name: str) -> None:
        """Leave the line: the group was asked for, even where no list shows it yet."""
        self._waiting.pop(key, None)
        self._granted[key] = _resource_group(site), name

    def forget(self, key: Key) -> None:
        """Leave the line for good."""
        self._waiting.pop(key, None)
        self._granted.pop(key, None)

    def granted(self, site: Site) -> set[str]:
        """Return the names of the groups of a resource group that were asked for."""
        where = _resource_group(site)
        return {name for place, name in self._granted.values() if place == where}


def _resource_group(site: Site) -> Place:
    return site.place.subscription_id.lower(), site.resource_group.lower()


def _count(facts: Iterable[bool]) -> int:
    return sum(facts)
