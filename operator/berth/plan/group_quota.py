"""Whether one more container group may be made: what Azure allows, and what the platform team does."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from berth.api.compute_target import AciPlaceStatus, CoreCounts, GroupCounts, Quota
from berth.api.conditions import Condition, ConditionStatus, ConditionType, Reason
from berth.plan.report import condition

_GROUPS = "ContainerGroups"
_CORES = "StandardCores"


@dataclass(frozen=True, slots=True)
class Usage:
    """What is used of one quota in a region."""

    used: int
    limit: int


@dataclass(frozen=True, slots=True)
class Ahead:
    """How many others came before and still wait."""

    in_resource_group: int = 0
    in_region: int = 0
    """Those whom their own quota holds back do not count."""


NOBODY = Ahead()


@dataclass(frozen=True, slots=True)
class Room:
    """How many container groups there are, and may be."""

    region: str
    own: int
    """Groups of Berth's in the resource group, whatever their region; those that are being made included."""
    quota: int | None
    """How many the platform team allows Berth."""
    groups: Usage
    cores: Usage | None = None

    @property
    def is_quota_used_up(self) -> bool:
        """Tell whether the platform team allows no more."""
        return self.quota is not None and self.own >= self.quota

    def admits(self, ahead: Ahead = NOBODY) -> bool:
        """Tell whether there is room for one that so many others wait before."""
        if self.quota is not None and self.quota - self.own <= ahead.in_resource_group:
            return False
        return self.groups.limit - self.groups.used > ahead.in_region

    def status(self) -> AciPlaceStatus:
        """Return what a ComputeTarget says of it."""
        limit = self.groups.limit if self.quota is None else min(self.quota, self.groups.limit)
        counts = GroupCounts(own=self.own, used=self.groups.used, limit=limit)
        cores = CoreCounts(used=self.cores.used, limit=self.cores.limit) if self.cores else None
        return AciPlaceStatus(container_groups=counts, cores=cores)


def read_room(usages: Mapping[str, Any], region: str, quota: Quota, own: int) -> Room | None:
    """Read a region's list of usages; None where it tells nothing of container groups."""
    found = {
        usage["name"]["value"]: Usage(usage["currentValue"], usage["limit"])
        for usage in usages.get("value") or ()
    }
    if _GROUPS not in found:
        return None
    return Room(region, own, quota.container_groups, found[_GROUPS], found.get(_CORES))


def quota_available(room: Room | None, ahead: Ahead = NOBODY) -> Condition:
    """Say whether there is room; counts only where there is none, else each change would be news."""
    kind = ConditionType.QUOTA_AVAILABLE
    if room is None or room.admits(ahead):
        return condition(kind, ConditionStatus.TRUE, Reason.QUOTA_AVAILABLE, "The group has its place")
    return condition(kind, ConditionStatus.FALSE, Reason.QUOTA_EXCEEDED, _full(room, ahead))


def _full(room: Room, ahead: Ahead) -> str:
    if room.quota is not None and room.quota - room.own <= ahead.in_resource_group:
        used = f"{room.own} of the {room.quota} container groups that the ComputeTarget allows are used"
        before = ahead.in_resource_group
    else:
        counted = f"{room.groups.used} of {room.groups.limit} container groups of the subscription"
        used = f"{counted} are used in {room.region}"
        before = ahead.in_region
    waiting = f"; {before} wait before this one" if before else ""
    return f"{used}{waiting}"
