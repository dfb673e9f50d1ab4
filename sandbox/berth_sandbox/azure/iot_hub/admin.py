"""What the emulator's own interface can do with hubs and their devices."""

import json
from collections.abc import Mapping
from typing import Any

from berth_sandbox.azure.edge_hub.messages import Identity, Message
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


def send(hub: Hub, device: str, document: Mapping[str, Any]) -> None:
    """Give the edge hub of a device a message as if one of its modules had sent it.

    `{"module": "camera", "output": "features", "body": {...}, "properties": {...}}`
    """
    source = Identity(device, document["module"])
    body = json.dumps(document["body"]).encode()
    properties = document.get("properties", {})
    hub.edges[device].hub.deliver(Message(source, document.get("output"), properties, body))


def sent_upstream(hub: Hub, device: str) -> list[Document]:
    """Return what the edge hub of a device has, or had, for the hub in the cloud."""
    return [
        {
            "module": message.source.module,
            "output": message.output,
            "properties": dict(message.properties),
            "body": message.body.decode(errors="replace"),
        }
        for message in hub.edges[device].hub.upstream
    ]


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
