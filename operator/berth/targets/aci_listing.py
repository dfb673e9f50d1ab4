"""One list of a resource group's container groups for all who look at the same time."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from berth.core.errors import Postponed
from berth.plan.group_names import Owner
from berth.targets.azure import Groups, Site

Json = Mapping[str, Any]

_PATIENCE_SECONDS = 1.0
_AGAIN_SECONDS = 5.0
_Key = tuple[Groups, str]


@dataclass(frozen=True, slots=True)
class Listing:
    """The groups of a resource group, without instance views, and who owns them."""

    at: float
    groups: Mapping[str, Json]
    owners: Mapping[str, Owner]

    def of(self, owner: Owner) -> list[str]:
        """Name the groups of one ModelDeployment."""
        return [name for name, each in self.owners.items() if each == owner]

    def of_cluster(self, cluster: str) -> set[str]:
        """Name the groups that a cluster has made."""
        return {name for name, each in self.owners.items() if each.cluster == cluster}


class _Turn:
    """Lets one ask after the other; who comes while one takes long goes away again."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._since = 0.0

    @property
    def is_taken(self) -> bool:
        return self._lock.locked()

    @asynccontextmanager
    async def taken(self, clock: Callable[[], float]) -> AsyncIterator[None]:
        waited = clock() - self._since if self.is_taken else 0.0
        try:
            async with asyncio.timeout(max(0.0, _PATIENCE_SECONDS - waited)):
                await self._lock.acquire()
        except TimeoutError:
            raise Postponed("The list of container groups takes its time", _AGAIN_SECONDS) from None
        self._since = clock()
        try:
            yield
        finally:
            self._lock.release()


class Listings:
    """Keeps the last list of each resource group for `interval` seconds."""

    def __init__(self, *, interval: float, clock: Callable[[], float]) -> None:
        self._interval = interval
        self._clock = clock
        self._kept: dict[_Key, Listing] = {}
        self._turns: dict[_Key, _Turn] = {}

    async def recent(self, site: Site) -> Listing:
        """Return a list that is not older than the interval, or twice that while another is asked for.

        Raises Postponed where there is none, and the one that is asked for takes its time: a subscription
        that hangs must not hold every worker.
        """
        key = site.groups, site.resource_group.lower()
        turn = self._turns.setdefault(key, _Turn())
        if turn.is_taken and (kept := self._younger_than(2 * self._interval, key)):
            return kept
        async with turn.taken(self._clock):
            if kept := self._younger_than(self._interval, key):
                return kept
            self._kept[key] = found = await self.fresh(site)
            self._drop_the_old()
        return found

    async def fresh(self, site: Site) -> Listing:
        """Ask now."""
        at = self._clock()
        answer = await site.groups.list_by_resource_group(site.resource_group)
        groups = {group["name"]: group for group in answer.body["value"]}
        owners = {name: owner for name, group in groups.items() if (owner := Owner.read(group))}
        return Listing(at, groups, owners)

    def _younger_than(self, seconds: float, key: _Key) -> Listing | None:
        kept = self._kept.get(key)
        return kept if kept and self._clock() - kept.at < seconds else None

    def _drop_the_old(self) -> None:
        """Forget whom nobody asks any more: each new secret brings a new client."""
        for key in [key for key in self._kept if not self._younger_than(2 * self._interval, key)]:
            if not self._turns[key].is_taken:
                del self._kept[key], self._turns[key]
