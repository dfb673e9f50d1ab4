"""Container groups of this cluster that nobody wants: which they are, and when they may be deleted."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from berth.api.compute_target import AciPlace
from berth.plan.group_names import Owner
from berth.plan.group_retention import is_retained, retains
from berth.plan.report import is_ready
from berth.plan.subject import Subject

Json = Mapping[str, Any]
K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class Suspect:
    """A group that nobody wants, and which list has shown it first."""

    owner: Owner
    since: float


def is_wanted(owner: Owner, subject: Subject | None, serves_at: AciPlace | None, here: AciPlace) -> bool:
    """Tell whether a group here serves a ModelDeployment that exists, or did until another one does.

    `serves_at` is where the ModelDeployment points, None where that is not known.
    """
    if subject is None or subject.metadata.uid != owner.uid:
        return False
    if retains(subject) or serves_at is None or _spot(serves_at) == _spot(here):
        return True
    return not is_ready(subject)


def unwanted(groups: Mapping[str, Json], cluster: str, wanted: Callable[[Owner], bool]) -> dict[str, Owner]:
    """Return this cluster's groups that nobody wants; those of others, and retained ones, are not ours."""
    owned = {name: (Owner.read(group), group) for name, group in groups.items()}
    return {
        name: owner
        for name, (owner, group) in owned.items()
        if owner and owner.cluster == cluster and not is_retained(group) and not wanted(owner)
    }


def suspects(found: Mapping[K, Owner], before: Mapping[K, Suspect], at: float) -> dict[K, Suspect]:
    """Remember since when each was unwanted; one that was wanted in between begins anew."""
    fresh = {name: Suspect(owner, at) for name, owner in found.items()}
    known = {name: each for name, each in before.items() if each.owner == found.get(name)}
    return fresh | known


def due(seen: Mapping[K, Suspect], at: float, grace: float) -> list[K]:
    """Return those that a list at this time still shows after the grace period."""
    return [name for name, each in seen.items() if at - each.since >= grace]


def _spot(place: AciPlace) -> tuple[str, str]:
    return place.subscription_id.lower(), place.resource_group.lower()
