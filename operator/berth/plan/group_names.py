"""What a container group is called, and the tags that say whose it is."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Any, Self

import orjson

from berth.api.compute_target import AciPlace
from berth.api.conditions import Reason
from berth.api.names import MAX_LENGTH
from berth.core.errors import Terminal
from berth.plan.subject import Subject

GENERATION = "berth-generation"
FINGERPRINT = "berth-fingerprint"

_CLUSTER = "berth-cluster"
_NAMESPACE = "berth-namespace"
_NAME = "berth-name"
_UID = "berth-uid"
_MANAGED_BY = {"managed-by": "berth"}
_HASH_LENGTH = 8
_STRANGER_SECONDS = 60.0

Json = Mapping[str, Any]


class Slot(StrEnum):
    """Which of the two container groups that a ModelDeployment may have while it is updated."""

    BLUE = "blue"
    GREEN = "green"


@dataclass(frozen=True, slots=True)
class Owner:
    """For whom a container group was made."""

    cluster: str
    """Id of the cluster: the uid of its namespace `kube-system`."""
    namespace: str
    name: str
    uid: str

    @classmethod
    def of(cls, subject: Subject, cluster: str) -> Self:
        """Return the ModelDeployment as an owner."""
        metadata = subject.metadata
        return cls(cluster, metadata.namespace, metadata.name, metadata.uid)

    @classmethod
    def read(cls, group: Json) -> Self | None:
        """Return whom the group's tags name, or None where they name nobody that Berth knows."""
        tags = tags_of(group)
        try:
            return cls(tags[_CLUSTER], tags[_NAMESPACE], tags[_NAME], tags[_UID])
        except KeyError:
            return None

    def tags(self, generation: int, fingerprint: str) -> dict[str, str]:
        """Return the tags of a group that was made for this owner."""
        return {
            **_MANAGED_BY,
            _CLUSTER: self.cluster,
            _NAMESPACE: self.namespace,
            _NAME: self.name,
            _UID: self.uid,
            GENERATION: str(generation),
            FINGERPRINT: fingerprint,
        }


def tags_of(group: Json) -> dict[str, str]:
    """Return the tags of a group as Azure shows it."""
    return dict(group.get("tags") or {})


def group_name(owner: Owner, location: str, slot: Slot = Slot.BLUE) -> str:
    """Return a name that no other group has: Azure takes one name in two regions at once for fraud."""
    return _name(owner.namespace, owner.name, of=[owner.cluster, owner.uid, location, slot])


def dns_label(owner: Owner, place: AciPlace, slot: Slot = Slot.BLUE) -> str:
    """Return the first part of the public name, which outlives a ModelDeployment that is made anew."""
    scope = [place.subscription_id.lower(), place.resource_group.lower()]
    return _name(owner.name, owner.namespace, of=[owner.cluster, *scope, slot])


def given_label(label: str, slot: Slot) -> str:
    """Return the label that the user gave; the second group needs one of its own while both are there."""
    return label if slot is Slot.BLUE else _name(label, of=[label, slot])


def refuse_stranger(owner: Owner, group: Json) -> None:
    """Raise Terminal unless the group was made for this ModelDeployment."""
    there = Owner.read(group)
    if there == owner:
        return
    whose = f"{there.namespace}/{there.name} of cluster {there.cluster}" if there else "nobody Berth knows"
    raise Terminal(
        Reason.CONFLICT,
        f"Container group {group['name']} exists and belongs to {whose}: "
        "delete it, or rename this ModelDeployment",
        _STRANGER_SECONDS,
    )


def _name(*parts: str, of: list[str]) -> str:
    """Join the parts and a hash; Azure takes no name with two hyphens in a row."""
    digest = sha256(orjson.dumps([*parts, *of])).hexdigest()[:_HASH_LENGTH]
    whole = re.sub("-+", "-", "-".join(parts))
    return f"{whole[: MAX_LENGTH - _HASH_LENGTH - 1].rstrip('-')}-{digest}"
