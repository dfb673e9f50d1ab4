"""What counting extended resources and counting devices of DRA classes have in common."""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping

from berth.api.common import Tolerations
from berth.plan.devices import Claimant, Room, Uncounted
from berth.targets.watches import Follow, Watches


class Counting(Watches):
    """Knows who holds and who waits for devices."""

    def __init__(self, follow: Follow, clock: Callable[[], float]) -> None:
        super().__init__(follow)
        self._clock = clock
        self._missing: dict[object, tuple[str, float]] = {}

    @abstractmethod
    def room(self, name: str, selector: Mapping[str, str], tolerations: Tolerations) -> Room | Uncounted:
        """Count the devices of a pool.

        Raises Postponed where the watches have only begun, Terminal where the cluster has no such devices.
        """

    def missing_seconds(self, who: object, room: Room) -> float:
        """Return for how long someone's pool has had no device; counts from the first pass that saw it so."""
        now = self._clock()
        resource, since = self._missing.get(who, ("", now))
        if room.total or resource != room.resource:
            since = now
        self._missing[who] = room.resource, since
        return now - since

    def forget(self, who: object) -> None:
        """Tell someone no more."""
        super().forget(who)
        self._missing.pop(who, None)

    def waiting(self, holder: str) -> Claimant | None:
        """Return a Pod of this holder that waits for a node."""
        return next((each for each in self._waiting() if each.holder == holder), None)

    @abstractmethod
    def _waiting(self) -> Iterator[Claimant]:
        """Give the Pods that wait for a node."""
