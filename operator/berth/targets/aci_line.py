"""Who waits for room in a region: first come, first served."""

from berth.core.keys import Key
from berth.plan.subject import Subject
from berth.targets.azure import Site

Region = tuple[str, str]


class Lines:
    """Remembers who waits in each region of a subscription, and which groups were asked for."""

    def __init__(self) -> None:
        self._waiting: dict[Region, dict[Key, str]] = {}
        self._granted: dict[Key, str] = {}

    def join(self, subject: Subject, site: Site, location: str) -> int:
        """Wait, and return how many came before; who came first is older, which outlives a restart.

        Who is suspended lets the others pass.
        """
        line = self._waiting.setdefault((site.place.subscription_id.lower(), location), {})
        if subject.spec.suspend:
            line.pop(subject.key, None)
        else:
            line[subject.key] = subject.metadata.creation_timestamp
        own = (subject.metadata.creation_timestamp, subject.key)
        return sum((since, key) < own for key, since in line.items())

    def grant(self, key: Key, name: str) -> None:
        """Leave the line: the group was asked for, even where no list shows it yet."""
        self._leave(key)
        self._granted[key] = name

    def forget(self, key: Key) -> None:
        """Leave the line for good."""
        self._leave(key)
        self._granted.pop(key, None)

    @property
    def granted(self) -> set[str]:
        """The names of the groups that were asked for."""
        return set(self._granted.values())

    def _leave(self, key: Key) -> None:
        for line in self._waiting.values():
            line.pop(key, None)
