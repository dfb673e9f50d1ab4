"""The regions of the service, how large a group may be there, and how much a subscription may have."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from berth_sandbox.azure.errors import ArmError, quota_reached
from berth_sandbox.azure.names import CONTAINER_GROUPS, PROVIDER, Document
from berth_sandbox.azure.rules import totals

QUOTAS: Mapping[str, int] = MappingProxyType(
    {"ContainerGroups": 100, "StandardCores": 100, "StandardSpotCores": 10}
)
QUOTA_TITLES = {
    "ContainerGroups": "Container Groups",
    "StandardCores": "Standard Cores",
    "StandardSpotCores": "Standard Spot Cores",
}


@dataclass(frozen=True)
class Capability:
    """The largest group of a kind."""

    os_type: str
    ip_address_type: str
    gpu: str = "None"
    max_cpu: float = 31
    max_memory_in_gb: float = 240
    max_gpu_count: int = 0


ORDINARY = tuple(Capability(os, address) for os in ("Linux", "Windows") for address in ("Public", "Private"))


@dataclass(frozen=True)
class Region:
    """A region by its name and its title: `westus` is West US."""

    name: str
    title: str
    capabilities: tuple[Capability, ...] = ORDINARY

    def offers(self, os_type: str, gpu: str, cpu: float, memory_in_gb: float) -> bool:
        """Tell whether a group of that size can ever run here."""
        return any(
            (offer.os_type, offer.gpu) == (os_type, gpu)
            and cpu <= offer.max_cpu
            and memory_in_gb <= offer.max_memory_in_gb
            for offer in self.capabilities
        )

    def capabilities_document(self) -> Document:
        """Return what a list of the region's capabilities shows."""
        return {"value": [_capability(self.title, offer) for offer in self.capabilities]}


REGIONS = tuple(
    Region(title.replace(" ", "").lower(), title)
    for title in (
        "East US", "East US 2", "West US", "West US 2", "Central US", "West Central US",
        "North Europe", "West Europe", "UK South", "Southeast Asia", "Japan East",
    )
)  # fmt: skip


@dataclass
class Subscription:
    """A subscription with the resource groups it has; `quotas` holds in each region."""

    id: str
    tenant: str
    resource_groups: set[str] = field(default_factory=set)
    quotas: dict[str, int] = field(default_factory=lambda: dict(QUOTAS))
    enabled: bool = True

    def has(self, resource_group: str) -> bool:
        """Tell whether the resource group exists, however its name is written."""
        return resource_group.lower() in {name.lower() for name in self.resource_groups}


def used(bodies: Iterable[Document]) -> dict[str, int]:
    """Count what container groups use of each quota."""
    counts = dict.fromkeys(QUOTAS, 0)
    for body in bodies:
        properties = body["properties"]
        cores = "StandardSpotCores" if properties.get("priority") == "Spot" else "StandardCores"
        counts["ContainerGroups"] += 1
        counts[cores] += math.ceil(totals(properties)[0])
    return counts


def exceeded(
    region: str, quotas: Mapping[str, int], usage: Mapping[str, int], body: Document
) -> ArmError | None:
    """Return the error of the first quota that has no room for one more group."""
    for quota, requested in used([body]).items():
        if requested and usage[quota] + requested > quotas[quota]:
            return quota_reached(quota, region, quotas[quota], usage[quota], requested)
    return None


def usages_document(
    subscription: str, region: str, quotas: Mapping[str, int], usage: Mapping[str, int]
) -> Document:
    """Return what a list of usages shows."""
    prefix = f"subscriptions/{subscription}/providers/{PROVIDER}/locations/{region}/usages"
    return {
        "value": [
            {
                "id": f"{prefix}/{quota}",
                "unit": "Count",
                "currentValue": usage[quota],
                "limit": limit,
                "name": {"value": quota, "localizedValue": QUOTA_TITLES[quota]},
            }
            for quota, limit in quotas.items()
        ]
    }


def _capability(location: str, offer: Capability) -> Document:
    return {
        "resourceType": CONTAINER_GROUPS.rpartition("/")[2],
        "osType": offer.os_type,
        "location": location,
        "ipAddressType": offer.ip_address_type,
        "gpu": offer.gpu,
        "capabilities": {
            "maxMemoryInGB": offer.max_memory_in_gb,
            "maxCpu": offer.max_cpu,
            "maxGpuCount": offer.max_gpu_count,
        },
    }
