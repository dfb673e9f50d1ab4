"""What Berth remembers of an object that it watches: identity, and the fields it reads as compact JSON."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from berth.api.deployment import GROUP, KIND
from berth.core.keys import Key

FIELD_MANAGER = "berth"
ANNOTATION_PREFIX = "berth.dev/"

FINALIZER = f"{ANNOTATION_PREFIX}outside"
"""Keeps an object until what belongs to it outside the cluster, or who needs it, is gone."""

_METADATA = (
    "name",
    "namespace",
    "uid",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "finalizers",
    "labels",
)
_STATUS_OF_CHILDREN = (
    "availableReplicas",
    "conditions",
    "currentReplicas",
    "desiredReplicas",
    "loadBalancer",
    "observedGeneration",
    "readyReplicas",
    "replicas",
    "unavailableReplicas",
    "updatedReplicas",
)


@dataclass(frozen=True, slots=True)
class Observed:
    """One object, narrowed; `body` is JSON, since ten thousand parsed objects take too much memory."""

    key: Key
    uid: str
    resource_version: int
    body: bytes

    def parse(self) -> dict[str, Any]:
        """Return the fields that were kept."""
        parsed: dict[str, Any] = orjson.loads(self.body)
        return parsed


def key_of(raw: Mapping[str, Any]) -> Key:
    """Return the namespace and name of an object."""
    metadata = raw["metadata"]
    return Key(metadata.get("namespace", ""), metadata["name"])


def narrow_model_deployment(raw: Mapping[str, Any]) -> Observed:
    """Keep the spec and the status of a ModelDeployment."""
    return _narrow(raw, {"spec": raw.get("spec", {}), "status": raw.get("status", {})})


def narrow_compute_target(raw: Mapping[str, Any]) -> Observed:
    """Keep the spec and the status of a ComputeTarget."""
    return narrow_model_deployment(raw)


def narrow_child(raw: Mapping[str, Any]) -> Observed:
    """Keep what is compared and reported of a Deployment, Service, autoscaler or disruption budget."""
    status = raw.get("status", {})
    return _narrow(
        raw,
        {
            "spec": raw.get("spec", {}),
            "status": {name: status[name] for name in _STATUS_OF_CHILDREN if name in status},
            "ownsReplicas": _owns_replicas(raw["metadata"].get("managedFields", ())),
        },
    )


def narrow_secret(raw: Mapping[str, Any]) -> Observed:
    """Keep the names of a Secret's entries, never their values."""
    filled = sorted(name for name, value in raw.get("data", {}).items() if value)
    return _narrow(raw, {"type": raw.get("type"), "entries": filled})


def controller_of(metadata: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the owner reference that claims to control the object."""
    owners = metadata.get("ownerReferences", ())
    return next((owner for owner in owners if owner.get("controller")), None)


def model_deployment_of(metadata: Mapping[str, Any]) -> str | None:
    """Return the name of the ModelDeployment, of Berth and no other product, that controls the object."""
    owner = controller_of(metadata) or {}
    if owner.get("kind") != KIND or owner["apiVersion"].partition("/")[0] != GROUP:
        return None
    name: str = owner["name"]
    return name


def _narrow(raw: Mapping[str, Any], kept: dict[str, Any]) -> Observed:
    metadata = raw["metadata"]
    narrowed = {name: metadata[name] for name in _METADATA if name in metadata}
    narrowed["annotations"] = _annotations(metadata.get("annotations", {}))
    narrowed["ownerReferences"] = metadata.get("ownerReferences", [])
    return Observed(
        key=key_of(raw),
        uid=metadata["uid"],
        resource_version=int(metadata["resourceVersion"]),
        body=orjson.dumps({"metadata": narrowed, **kept}),
    )


def _annotations(annotations: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in annotations.items()
        if name != "kubectl.kubernetes.io/last-applied-configuration"
    }


def _owns_replicas(managed_fields: Any) -> bool:  # noqa: ANN401 - as deep as the API server makes it
    return any(
        entry.get("manager") == FIELD_MANAGER and "f:replicas" in entry.get("fieldsV1", {}).get("f:spec", {})
        for entry in managed_fields
        if entry.get("operation") == "Apply" and not entry.get("subresource")
    )
