"""An API server in memory that knows server-side apply: each field belongs to those who applied it."""

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from berth.core.errors import Conflict, Gone
from berth.core.keys import Key
from berth.plan.resources import SERVICES, Resource

Object = dict[str, Any]
Path = tuple[str, ...]

_SERVER_FIELDS = ("uid", "resourceVersion", "creationTimestamp", "generation", "name", "namespace")
_KEYED = {
    "containers": ("name",),
    "env": ("name",),
    "imagePullSecrets": ("name",),
    "initContainers": ("name",),
    "ownerReferences": ("uid",),
    "volumeMounts": ("mountPath",),
    "volumes": ("name",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
}
_PORTS = {"containers": ("containerPort", "protocol"), "spec": ("port", "protocol")}
_ATOMIC = {"selector", "labelSelector", "nodeSelector"}


def leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Take a value apart into what one manager can own: a path with the keys of list items, and a value."""
    name = path[-1] if path else ""
    if isinstance(value, dict) and value and name not in _ATOMIC:
        for key, inner in value.items():
            yield from leaves(inner, (*path, key))
    elif isinstance(value, list) and (keys := _keys(path)) and value:
        for item in value:
            identity = json.dumps({key: item.get(key) for key in keys})
            yield from leaves(item, (*path, identity))
    else:
        yield path, value


def assemble(found: dict[Path, Any]) -> Any:
    """Put the leaves together again."""
    if set(found) == {()}:
        return found[()]
    groups: dict[str, dict[Path, Any]] = {}
    for path, value in found.items():
        if path:
            groups.setdefault(path[0], {})[path[1:]] = value
    parts = {name: assemble(inner) for name, inner in groups.items()}
    return list(parts.values()) if any(name.startswith("{") for name in parts) else parts


def _keys(path: Path) -> tuple[str, ...] | None:
    if path[-1] == "ports":
        return _PORTS["containers"] if "containers" in path else _PORTS["spec"]
    return _KEYED.get(path[-1])


@dataclass
class Stored:
    """One object: its leaves, which of them each manager applied, and what the server keeps."""

    metadata: Object
    found: dict[Path, Any] = field(default_factory=dict)
    owned: dict[str, set[Path]] = field(default_factory=dict)
    status: Object = field(default_factory=dict)

    @property
    def raw(self) -> Object:
        """The object as a client reads it."""
        body: Object = copy.deepcopy(assemble(self.found))
        body["metadata"] = {**body.get("metadata", {}), **self.metadata}
        fields = [
            {"manager": name, "operation": "Apply", "fieldsV1": {"f:spec": {"f:replicas": {}}}}
            for name, paths in self.owned.items()
            if ("spec", "replicas") in paths
        ]
        body["metadata"]["managedFields"] = fields
        return body | {"status": copy.deepcopy(self.status)}

    def conflicts(self, manager: str, body: Object) -> bool:
        """Tell whether others hold fields at another value."""
        others = set().union(*(paths for name, paths in self.owned.items() if name != manager))
        return any(path in others and self.found.get(path) != value for path, value in leaves(body))

    def apply(self, manager: str, body: Object) -> None:
        """Merge what a manager wants, and drop what it and nobody else wanted before."""
        wanted = dict(leaves(body))
        others = set().union(*(paths for name, paths in self.owned.items() if name != manager))
        for path in self.owned.get(manager, set()) - set(wanted) - others:
            self.found.pop(path, None)
        for name, paths in self.owned.items():
            taken = {path for path in paths & set(wanted) if self.found.get(path) != wanted[path]}
            self.owned[name] = paths - taken if name != manager else paths
        self.owned[manager] = set(wanted)
        self.found |= wanted


@dataclass
class Listing:
    items: list[Object]


class SimulatedCluster:
    """Keeps objects, and counts what was written."""

    def __init__(self) -> None:
        self.objects: dict[tuple[Resource, Key], Stored] = {}
        self.writes: list[str] = []
        self.policies: dict[Resource, dict[Path, Any]] = {}
        """What admission makes of every write."""
        self.version = 0

    def raw(self, resource: Resource, key: Key) -> Object | None:
        """Read an object, or None."""
        stored = self.objects.get((resource, key))
        return stored.raw if stored else None

    def labelled(self, resource: Resource, labels: dict[str, str]) -> dict[Key, Object]:
        """Read all objects of a kind that have these labels."""
        found = {key: stored.raw for (kind, key), stored in self.objects.items() if kind == resource}
        return {
            key: raw
            for key, raw in found.items()
            if labels.items() <= raw["metadata"].get("labels", {}).items()
        }

    async def get(self, resource: Resource, key: Key) -> Object:
        return self._stored(resource, key).raw

    async def list(
        self, resource: Resource, namespace: str = "", *, labels: str = "", fields: str = ""
    ) -> Listing:
        wanted = dict(part.split("=") for part in labels.split(",") if part)
        uid = fields.partition("involvedObject.uid=")[2]
        name = fields.partition("metadata.name=")[2]
        return Listing(
            [
                raw
                for key, raw in self.labelled(resource, wanted).items()
                if key.namespace == namespace
                and (not uid or raw.get("involvedObject", {}).get("uid") == uid)
                and (not name or key.name == name)
            ]
        )

    async def apply(
        self, resource: Resource, body: Object, *, manager: str = "berth", force: bool = True
    ) -> Object:
        key = _key(body)
        self.writes.append(f"apply {resource.kind}")
        if (resource, key) not in self.objects:
            self._add(resource, key)
        stored = self.objects[resource, key]
        before = stored.raw
        wanted = _without_server_fields(body)
        if not force and stored.conflicts(manager, wanted):
            raise Conflict(f"{resource.kind} {key} is another manager's")
        stored.apply(manager, wanted)
        if resource is SERVICES:
            stored.found.setdefault(("spec", "clusterIP"), "10.96.0.7")
        stored.found |= self.policies.get(resource, {})
        self._touch(stored, before)
        return stored.raw

    async def create(self, resource: Resource, body: Object) -> Object:
        key = _key(body)
        self.writes.append(f"create {resource.kind}")
        if (resource, key) in self.objects:
            raise Conflict(f"{resource.kind} {key} exists")
        stored = self._add(resource, key)
        stored.found = dict(leaves(_without_server_fields(body)))
        return stored.raw

    async def merge_patch(self, resource: Resource, key: Key, patch: Object) -> Object:
        self.writes.append(f"patch {resource.kind}")
        stored = self._stored(resource, key)
        before = stored.raw
        for path, value in leaves(patch):
            if value is None:
                stored.found.pop(path, None)
            else:
                stored.found[path] = value
        self._touch(stored, before)
        return stored.raw

    async def delete(self, resource: Resource, key: Key, *, uid: str) -> None:
        self.writes.append(f"delete {resource.kind}")
        if self._stored(resource, key).metadata["uid"] != uid:
            raise Conflict("another object has this name now")
        del self.objects[resource, key]

    def put(self, resource: Resource, raw: Object) -> None:
        """Place an object that another party made."""
        stored = self._add(resource, _key(raw))
        stored.found = dict(leaves(_without_server_fields(raw)))
        stored.owned = {"someone": set(stored.found)}
        stored.metadata |= {"uid": raw["metadata"].get("uid", stored.metadata["uid"])}
        stored.metadata |= {
            "creationTimestamp": raw["metadata"].get("creationTimestamp", "2026-11-01T12:00:01Z")
        }
        stored.status = raw.get("status", {})

    def become_ready(self, resource: Resource, key: Key, replicas: int) -> None:
        """Let a Deployment have rolled out."""
        counts = ("replicas", "updatedReplicas", "availableReplicas", "readyReplicas")
        self.report(resource, key, **dict.fromkeys(counts, replicas))

    def report(self, resource: Resource, key: Key, **status: Any) -> None:
        """Let the controller of an object have written its status."""
        stored = self._stored(resource, key)
        stored.status = {"observedGeneration": stored.metadata["generation"], **status}
        self._touch(stored, stored.raw)

    def _add(self, resource: Resource, key: Key) -> Stored:
        self.version += 1
        stored = Stored(
            {
                "name": key.name,
                "namespace": key.namespace,
                "uid": f"{resource.kind}-{self.version}",
                "resourceVersion": str(self.version),
                "creationTimestamp": "2026-11-01T12:00:01Z",
                "generation": 1,
            }
        )
        self.objects[resource, key] = stored
        return stored

    def _touch(self, stored: Stored, before: Object) -> None:
        after = stored.raw
        self.version += 1
        stored.metadata["resourceVersion"] = str(self.version)
        if "spec" in before and after.get("spec") != before["spec"]:
            stored.metadata["generation"] += 1

    def _stored(self, resource: Resource, key: Key) -> Stored:
        try:
            return self.objects[resource, key]
        except KeyError:
            raise Gone(f"{resource.kind} {key} is not there") from None


def _without_server_fields(body: Object) -> Object:
    metadata = {name: value for name, value in body["metadata"].items() if name not in _SERVER_FIELDS}
    rest = {name: value for name, value in body.items() if name not in ("metadata", "status")}
    return rest | ({"metadata": metadata} if metadata else {})


def _key(body: Object) -> Key:
    return Key(body["metadata"].get("namespace", ""), body["metadata"]["name"])
