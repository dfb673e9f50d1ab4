"""One list of a resource group's container groups for all who look at the same time."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from berth.plan.group_names import Owner
from berth.targets.azure import Groups, Site

Json = Mapping[str, Any]


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


class Listings:
    """Keeps the last list of each resource group for `interval` seconds."""

    def __init__(self, *, interval: float, clock: Callable[[], float]) -> None:
        self._interval = interval
        self._clock = clock
        self._kept: dict[tuple[Groups, str], Listing] = {}
        self._locks: dict[tuple[Groups, str], asyncio.Lock] = {}

    async def recent(self, site: Site) -> Listing:
        """Return a list that is not older than the interval."""
        key = _key(site)
        async with self._locks.setdefault(key, asyncio.Lock()):
            kept = self._kept.get(key)
            if kept is None or self._clock() - kept.at >= self._interval:
                kept = self._kept[key] = await self.fresh(site)
        return kept

    async def fresh(self, site: Site) -> Listing:
        """Ask now."""
        at = self._clock()
        answer = await site.groups.list_by_resource_group(site.resource_group)
        groups = {group["name"]: group for group in answer.body["value"]}
        owners = {name: owner for name, group in groups.items() if (owner := Owner.read(group))}
        return Listing(at, groups, owners)


def _key(site: Site) -> tuple[Groups, str]:
    return site.groups, site.resource_group.lower()
