"""Hubs, their policies and their devices, as JSON."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from berth_sandbox.azure.devices.device import Gateway, NetworkDevice
from berth_sandbox.azure.iot_hub.access import BUILT_IN, RIGHTS, Access, Policy
from berth_sandbox.azure.iot_hub.fleet import Fleet, Timing
from berth_sandbox.azure.iot_hub.hub import Hub
from berth_sandbox.azure.iot_hub.limits import Rates, Sku
from berth_sandbox.azure.iot_hub.resources import HubResource
from berth_sandbox.azure.names import Document

if TYPE_CHECKING:
    from berth_sandbox.azure.cloud import Azure


def add_hub(azure: "Azure", name: str, described: Document) -> Hub:
    """Serve a hub that a document describes.

    `{"hosts": [...], "subscription": ID, "resourceGroup": NAME, "sku": "S1", "units": 1,
    "policies": {"iothubowner": KEY}, "roles": {CLIENT_ID: [RIGHT]}, "timing": {...}, "rates": {...},
    "devices": {ID: {TAG: VALUE}}, "fleets": [{"prefix": "line-", "count": 10000, "tags": {...}}],
    "gateways": {ID: {"name": HOST, "hub_port": 8883, "workload_port": 15580}},
    "configurations": {ID: {...}}}`
    """
    fleet = Fleet(Timing(**described.get("timing", {})), azure.manifest_rules)
    sku = Sku(described.get("sku", "S1"), described.get("units", 1))
    hub = Hub(name, azure.clock, fleet, sku, _edges(name, described))
    access = Access(
        azure.directory,
        {policy: Policy(*_policy(policy, entry)) for policy, entry in described.get("policies", {}).items()},
        {client: frozenset(rights) for client, rights in described.get("roles", {}).items()},
    )
    rates = Rates()
    rates.rates.update(described.get("rates", {}))
    azure.hubs.serve(hub, access, _hosts(name, described), rates, _resource(name, described, hub.sku))
    add_devices(hub, described)
    for configuration, body in described.get("configurations", {}).items():
        hub.put_configuration(configuration, body, None)
    return hub


def add_devices(hub: Hub, described: Mapping[str, Any]) -> None:
    """Register the edge devices that a document lists."""
    for device, tags in described.get("devices", {}).items():
        hub.register([device], tags)
    for fleet in described.get("fleets", ()):
        names = [f"{fleet['prefix']}{number}" for number in range(fleet["count"])]
        hub.register(names, fleet.get("tags", {}))


def _edges(name: str, described: Mapping[str, Any]) -> dict[str, NetworkDevice]:
    gateways = described.get("gateways", {})
    host = _hosts(name, described)[0]
    return {device: NetworkDevice(host, device, Gateway(**gateway)) for device, gateway in gateways.items()}


def _hosts(name: str, described: Mapping[str, Any]) -> list[str]:
    return list(described.get("hosts", [f"{name}.azure-devices.net"]))


def _resource(name: str, described: Mapping[str, Any], sku: Sku) -> HubResource | None:
    if "subscription" not in described:
        return None
    host, region = _hosts(name, described)[0], described.get("region", "westeurope")
    return HubResource(described["subscription"], described["resourceGroup"], name, host, region, sku)


def _policy(name: str, entry: Any) -> tuple[tuple[str, ...], frozenset[str]]:  # noqa: ANN401 - JSON
    if isinstance(entry, dict):
        return tuple(entry["keys"]), frozenset(entry.get("rights", RIGHTS))
    return (entry,), BUILT_IN.get(name, RIGHTS)
