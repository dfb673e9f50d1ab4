"""What it takes to bring a container group to what is wanted, by the rules of the service.

An unchanged PUT restarts the containers, so nothing is sent unless something differs. What Azure never shows
is compared by the fingerprint in a tag, what it shows field by field, since others may change it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from berth.plan.container_group import Desired
from berth.plan.group_names import FINGERPRINT, tags_of

Json = Mapping[str, Any]

_TERMINATED = frozenset({"Succeeded", "Failed"})


class Way(IntEnum):
    """How a difference is mended, the mildest first."""

    NOTHING = 0
    TAGS = 1
    """PATCH, which restarts nothing."""
    IN_PLACE = 2
    """PUT, which restarts the containers."""
    RECREATE = 3
    """DELETE, and PUT once the group is gone."""


@dataclass(frozen=True, slots=True)
class Row:
    """A part of a container group, how it is read, and what a difference in it takes."""

    name: str
    way: Way
    read: Callable[[Json], object]


@dataclass(frozen=True, slots=True)
class Update:
    """What to do with a group that is there."""

    way: Way
    fields: tuple[str, ...] = ()
    """What differs of that which Azure shows."""
    drifted: bool = False
    """Someone else changed it: what Berth last sent is what is wanted."""


def _properties(group: Json) -> Json:
    found: Json = group["properties"]
    return found


def _property(name: str, default: object = None) -> Callable[[Json], object]:
    return lambda group: _properties(group).get(name) or default


def _address(group: Json) -> Json:
    return _properties(group).get("ipAddress") or {}


def _address_ports(group: Json) -> object:
    return sorted(_port(port) for port in _address(group).get("ports") or ())


def _port(port: Json) -> tuple[int, str]:
    return port["port"], port.get("protocol") or "TCP"


def _containers(group: Json) -> Sequence[Json]:
    return [*(_properties(group).get("initContainers") or ()), *_properties(group)["containers"]]


def _names(kind: str) -> Callable[[Json], object]:
    return lambda group: [container["name"] for container in _properties(group).get(kind) or ()]


def _each(read: Callable[[Json], object]) -> Callable[[Json], object]:
    """Read the same of every container."""
    return lambda group: {each["name"]: read(each["properties"]) for each in _containers(group)}


def _requested(name: str) -> Callable[[Json], object]:
    return _each(lambda container: ((container.get("resources") or {}).get("requests") or {}).get(name))


def _variables(container: Json) -> object:
    """Read the variables; of a secure one Azure shows the name alone."""
    return {each["name"]: each.get("value") or "" for each in container.get("environmentVariables") or ()}


def _mounts(container: Json) -> object:
    return {
        each["mountPath"]: (each["name"], each.get("readOnly") or False)
        for each in container.get("volumeMounts") or ()
    }


def _probe(name: str) -> Callable[[Json], object]:
    return _each(lambda container: _probe_values(container.get(name) or {}))


def _probe_values(probe: Json) -> object:
    asked = probe.get("httpGet") or {}
    numbers = {name: value for name, value in probe.items() if isinstance(value, int) and value}
    return asked.get("path"), asked.get("port"), (asked.get("scheme") or "http").lower(), numbers


def _volumes(group: Json) -> object:
    kinds = ("azureFile", "emptyDir", "gitRepo", "secret")
    return {
        volume["name"]: [kind for kind in kinds if volume.get(kind) is not None]
        for volume in _properties(group).get("volumes") or ()
    }


def _registries(group: Json) -> object:
    return {
        each["server"]: (each.get("username"), _lower(each.get("identity")))
        for each in _properties(group).get("imageRegistryCredentials") or ()
    }


def _identities(group: Json) -> object:
    given = (group.get("identity") or {}).get("userAssignedIdentities") or {}
    return sorted(_lower(identity) or "" for identity in given)


def _subnets(group: Json) -> object:
    return [_lower(subnet["id"]) for subnet in _properties(group).get("subnetIds") or ()]


def _workspace(group: Json) -> object:
    diagnostics = _properties(group).get("diagnostics") or {}
    return _lower((diagnostics.get("logAnalytics") or {}).get("workspaceId"))


def _encryption(group: Json) -> object:
    given = _properties(group).get("encryptionProperties") or {}
    vault = given.get("vaultBaseUrl") or ""
    return vault.rstrip("/").lower(), given.get("keyName"), given.get("keyVersion")


def _lower(text: str | None) -> str | None:
    return text.lower() if text else None


CHANGES = (
    Row("location", Way.RECREATE, lambda group: group["location"].replace(" ", "").lower()),
    Row("zones", Way.RECREATE, lambda group: group.get("zones") or []),
    Row("osType", Way.RECREATE, _property("osType")),
    Row("sku", Way.RECREATE, _property("sku", "Standard")),
    Row("priority", Way.RECREATE, _property("priority", "Regular")),
    Row("restartPolicy", Way.RECREATE, _property("restartPolicy", "Always")),
    Row("subnetIds", Way.RECREATE, _subnets),
    Row("encryptionProperties", Way.RECREATE, _encryption),
    Row("ipAddress.type", Way.RECREATE, lambda group: _address(group).get("type")),
    Row("ipAddress.ports", Way.RECREATE, _address_ports),
    Row("containers", Way.RECREATE, _names("containers")),
    Row("initContainers", Way.RECREATE, _names("initContainers")),
    Row("cpu", Way.RECREATE, _requested("cpu")),
    Row("memory", Way.RECREATE, _requested("memoryInGB")),
    Row("gpu", Way.RECREATE, _requested("gpu")),
    Row("identity", Way.IN_PLACE, _identities),
    Row("ipAddress.dnsNameLabel", Way.IN_PLACE, lambda group: _address(group).get("dnsNameLabel")),
    Row("image", Way.IN_PLACE, _each(lambda container: container.get("image"))),
    Row("command", Way.IN_PLACE, _each(lambda container: container.get("command") or [])),
    Row("environmentVariables", Way.IN_PLACE, _each(_variables)),
    Row("volumeMounts", Way.IN_PLACE, _each(_mounts)),
    Row("livenessProbe", Way.IN_PLACE, _probe("livenessProbe")),
    Row("readinessProbe", Way.IN_PLACE, _probe("readinessProbe")),
    Row("volumes", Way.IN_PLACE, _volumes),
    Row("imageRegistryCredentials", Way.IN_PLACE, _registries),
    Row("logAnalytics", Way.IN_PLACE, _workspace),
)


def update(desired: Desired, observed: Json) -> Update:
    """Compare what is wanted with a group as GET returns it."""
    differing = [row for row in CHANGES if row.read(desired.body) != row.read(observed)]
    fields = tuple(row.name for row in differing)
    same_wish = tags_of(observed).get(FINGERPRINT) == desired.fingerprint
    if differing or not same_wish:
        way = max((row.way for row in differing), default=Way.IN_PLACE)
        return Update(Way.RECREATE if _is_terminated(observed) else way, fields, drifted=same_wish)
    if not desired.tags.items() <= tags_of(observed).items():
        return Update(Way.TAGS, ("tags",))
    return Update(Way.NOTHING)


def is_stopped(group: Json) -> bool:
    """Tell whether someone has stopped the group, as GET shows it; Berth starts it again."""
    return (_properties(group).get("instanceView") or {}).get("state") == "Stopped"


def merged_tags(desired: Desired, observed: Json) -> dict[str, str]:
    """Return the whole map to send: Berth's tags, and those that others, such as a policy, have added."""
    return tags_of(observed) | desired.tags


def _is_terminated(group: Json) -> bool:
    """Tell whether Azure gave the group up, or all containers ended for good: it takes no update then."""
    return (
        _properties(group).get("provisioningState") == "Failed"
        or (_properties(group).get("instanceView") or {}).get("state") in _TERMINATED
    )
