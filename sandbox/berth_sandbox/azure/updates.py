"""What a PUT may change in place, and what only a new group can have."""

from collections.abc import Callable, Mapping
from typing import Any

from berth_sandbox.azure.names import Document


def immutable_changes(old: Document, new: Document) -> list[str]:
    """Name the properties that differ though they may not."""
    return [name for name, read in IMMUTABLE.items() if read(old) != read(new)]


def _property(name: str, default: str | None = None) -> Callable[[Document], Any]:
    return lambda body: body["properties"].get(name) or default


def _resources(body: Document) -> dict[str, Any]:
    return {entry["name"]: entry["properties"]["resources"] for entry in body["properties"]["containers"]}


def _init_containers(body: Document) -> list[str]:
    return [entry["name"] for entry in body["properties"].get("initContainers") or ()]


def _ports(body: Document) -> list[tuple[int, str]]:
    address = body["properties"].get("ipAddress") or {}
    return sorted((port["port"], port.get("protocol") or "TCP") for port in address.get("ports") or ())


def _address_type(body: Document) -> str | None:
    address: Document = body["properties"].get("ipAddress") or {}
    return address.get("type")


IMMUTABLE: Mapping[str, Callable[[Document], Any]] = {
    "osType": _property("osType"),
    "restartPolicy": _property("restartPolicy", "Always"),
    "subnetIds": _property("subnetIds"),
    "sku": _property("sku", "Standard"),
    "priority": _property("priority", "Regular"),
    "zones": lambda body: body.get("zones") or [],
    "resources": _resources,
    "initContainers": _init_containers,
    "ports": _ports,
    "ipAddress.type": _address_type,
}
