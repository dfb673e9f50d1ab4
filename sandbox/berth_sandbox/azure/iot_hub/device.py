"""A device of a hub: its identity, its twin, and what it is told to run."""

import base64
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from berth_sandbox.azure.iot_hub.agent import Situation
from berth_sandbox.azure.names import Document

NO_DOCUMENT: Document = {}


@dataclass(frozen=True, eq=False)
class Twin:
    """The twin of a device from a moment on; the versions count changes."""

    at: float
    tags: Document = field(default_factory=dict)
    desired: Document = field(default_factory=dict)
    reported: Document = field(default_factory=dict)
    version: int = 1
    desired_version: int = 1
    reported_version: int = 1


@dataclass(slots=True)
class Device:
    """A device; `twins` holds what the twin was for as long as queries see it so."""

    id: str
    number: int
    situation: Situation
    twins: tuple[Twin, ...]
    is_edge: bool = True
    status: str = "enabled"
    deployments: frozenset[str] = frozenset()
    modules: dict[str, int] = field(default_factory=dict)

    @property
    def twin(self) -> Twin:
        """Return the twin as it is now."""
        return self.twins[-1]

    def twin_by(self, moment: float) -> Twin:
        """Return the twin as it was."""
        return next((twin for twin in reversed(self.twins) if twin.at <= moment), self.twins[0])

    def keep(self, twin: Twin, horizon: float) -> None:
        """Change the twin; what it was before the horizon is forgotten."""
        seen = [old for old, newer in zip(self.twins, self.twins[1:], strict=False) if newer.at > horizon]
        self.twins = (*seen, self.twin, twin)

    def row(self) -> Document:
        """Return what target conditions look at."""
        twin = self.twin
        return {
            "deviceId": self.id,
            "tags": twin.tags,
            "properties": {"reported": twin.reported},
            "capabilities": {"iotEdge": self.is_edge},
        }

    def module_names(self, situation: Situation | None = None) -> list[str]:
        """Name the modules that have an identity, now or in an earlier situation."""
        if not self.is_edge:
            return sorted(self.modules)
        told = (situation or self.situation).told
        return sorted({"$edgeAgent", "$edgeHub", *told.manifest.twins, *self.modules})


def patched(document: Mapping[str, Any], patch: Mapping[str, Any]) -> Document:
    """Merge a patch into a section of a twin: null takes away."""
    result = dict(document)
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, dict):
            inner = result.get(name)
            result[name] = patched(inner if isinstance(inner, dict) else {}, value)
        else:
            result[name] = value
    return result


def with_changes(twin: Twin, at: float, patch: Document) -> Twin:
    """Apply a patch of a twin as `PATCH /twins` takes it."""
    tags = patch.get("tags")
    desired = (patch.get("properties") or {}).get("desired")
    changed = replace(twin, at=at, version=twin.version + 1)
    if tags is not None:
        changed = replace(changed, tags=patched(twin.tags, tags))
    if desired is not None:
        changed = replace(
            changed, desired=patched(twin.desired, desired), desired_version=twin.desired_version + 1
        )
    return changed


def key(secret: bytes, *names: str) -> str:
    """Return the key of an identity, which follows from its name."""
    return base64.b64encode(hmac.digest(secret, "/".join(names).encode(), "sha256")).decode()
