"""What the emulator's own interface can do with hubs and their devices."""

from collections.abc import Mapping
from typing import Any

from berth_sandbox.azure.iot_hub.hub import Hub
from berth_sandbox.azure.iot_hub.modules import ModuleBehaviour
from berth_sandbox.azure.iot_hub.setup import add_devices
from berth_sandbox.azure.names import Document

FIELDS = ("online", "slowness", "delivery_seconds")


def steer(hub: Hub, document: Mapping[str, Any]) -> None:
    """Let named devices, or all, fare as a document says, and report properties of their own.

    `{"devices": [ID], "online": false, "slowness": 10, "images": {IMAGE: {"pull_error": "not found"}},
    "reported": {...}}`
    """
    names = document.get("devices") or list(hub.fleet.devices)
    changes = {name: document[name] for name in FIELDS if name in document}
    if "images" in document:
        changes["behaviours"] = {
            image: ModuleBehaviour(**behaviour) for image, behaviour in document["images"].items()
        }
    hub.fare(names, **changes)
    for name in names if "reported" in document else ():
        hub.report(name, document["reported"])


def register(hub: Hub, document: Mapping[str, Any]) -> None:
    """Register devices: `{"devices": {ID: {TAG: VALUE}}, "fleets": [...]}`."""
    add_devices(hub, document)


def overview(hub: Hub) -> Document:
    """Return what a hub holds."""
    registry, service = hub.statistics()
    return {
        "sku": hub.sku.name,
        "units": hub.sku.units,
        "configurations": sorted(hub.fleet.deployments),
        **registry,
        **service,
    }
