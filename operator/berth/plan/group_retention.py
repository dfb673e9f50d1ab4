"""Container groups that outlive their ModelDeployment, and the tag that tells them from orphans.

The tag is there as long as the group is: a ModelDeployment that vanishes by force is not asked any more.
"""

from collections.abc import Mapping
from typing import Any

from berth.api.serving import DeletionPolicy
from berth.plan.group_names import tags_of
from berth.plan.observed import ANNOTATION_PREFIX
from berth.plan.subject import Subject

ABANDON = f"{ANNOTATION_PREFIX}abandon"
"""With the value `true`, a ModelDeployment goes without its container group."""

_POLICY = "berth-deletion-policy"

Json = Mapping[str, Any]


def is_abandoned(subject: Subject) -> bool:
    """Tell whether the user wants the ModelDeployment to go, whatever becomes of its group."""
    return subject.metadata.annotations.get(ABANDON) == "true"


def retains(subject: Subject) -> bool:
    """Tell whether the group stays when the ModelDeployment goes."""
    return subject.spec.deletion_policy is DeletionPolicy.RETAIN or is_abandoned(subject)


def policy_tag(subject: Subject) -> dict[str, str]:
    """Return the tag of a group that is made for this ModelDeployment."""
    return {_POLICY: DeletionPolicy.RETAIN if retains(subject) else DeletionPolicy.DELETE}


def is_retained(group: Json) -> bool:
    """Tell whether the group stays, whatever became of its ModelDeployment."""
    return tags_of(group).get(_POLICY) == DeletionPolicy.RETAIN


def retained_tags(group: Json) -> dict[str, str]:
    """Return all tags of a group that is to stay."""
    return tags_of(group) | {_POLICY: DeletionPolicy.RETAIN.value}
