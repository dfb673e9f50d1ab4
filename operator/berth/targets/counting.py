"""What counting extended resources and counting devices of DRA classes have in common."""

from collections.abc import Callable, Iterator, Mapping

from berth.api.common import Tolerations
from berth.plan.devices import Claimant, Room, Uncounted
from berth.targets.watches import Follow, Watches


class Counting(Watches):
    """Knows who holds and who waits for devices."""

    def __init__(self, follow: Follow, clock: Callable[[], float]) -> None:
        super().__init__(follow)
        self._clock = clock
        self._missing: dict[str, float] = {}

    def room(self, name: str, selector: Mapping[str, str], tolerations: Tolerations) -> Room | Uncounted:
        """Count the devices of a pool.

        Raises Postponed where the watches have only begun, Terminal where the cluster has no such devices.
        """
        room = self._count(name, selector, tolerations)
        if isinstance(room, Room) and room.total:
            self._missing.pop(name, None)
        return room

    def missing_seconds(self, name: str) -> float:
        """Return for how long nobody has seen such a device; counts from the first question."""
        now = self._clock()
        return now - self._missing.setdefault(name, now)

    def waiting(self, holder: str) -> Claimant | None:
        """Return a Pod of this holder that waits for a node."""
        return next((each for each in self._waiting() if each.holder == holder), None)

    def _count(self, name: str, selector: Mapping[str, str], tolerations: Tolerations) -> Room | Uncounted:
        raise NotImplementedError

    def _waiting(self) -> Iterator[Claimant]:
        raise NotImplementedError
