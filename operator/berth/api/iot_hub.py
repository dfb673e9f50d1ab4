"""A ComputeTarget of kind `IoTEdge`: a hub, and what devices get from it by default."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from berth.api.aci import ResourceId
from berth.api.azure import Server
from berth.api.base import ApiModel, ListMap, Rule
from berth.api.common import ObjectRef

_IS_HUB = (
    "self.matches('^/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft.Devices/IotHubs/[^/]+$')"
)
Tier = Annotated[str, StringConstraints(max_length=64)]
Count = Annotated[int, Field(ge=0)]
_HUB = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?(:[0-9]{1,5})?$"


class HubTier(StrEnum):
    """What was bought; the basic tier knows no devices of IoT Edge."""

    FREE = "Free"
    STANDARD = "Standard"


class DeviceRegistry(ApiModel):
    """How devices pull images from one registry."""

    server: Server
    """Host of the registry, such as `team.azurecr.io`."""
    secret_ref: ObjectRef
    """Secret in the operator's namespace with `username` and `password`; devices keep both in the clear."""


class ModuleDefaults(ApiModel):
    """What a module gets where its ModelDeployment says nothing."""

    registries: Annotated[tuple[DeviceRegistry, ...], Field(max_length=16), ListMap("server")] | None = None
    """How devices pull images."""


class HubQuota(ApiModel):
    """How much Berth may use."""

    deployments: Annotated[int, Field(ge=0, le=100)] | None = None
    """Deployments that Berth keeps in the hub at most. Without it, what the tier allows."""


class IotEdgePlace(ApiModel):
    """A hub that devices of IoT Edge belong to."""

    host_name: Annotated[
        str,
        StringConstraints(min_length=1, max_length=253, pattern=_HUB),
        Rule(
            "self == oldSelf",
            "hostName cannot be changed, since devices do not move: create another ComputeTarget",
        ),
    ]
    """Name of the hub, such as `plants.azure-devices.net`; cannot be changed."""
    connection_string_ref: ObjectRef | None = None
    """Secret in the operator's namespace with the key `connectionString`; without it, `credentials` count."""
    resource_id: Annotated[ResourceId, Rule(_IS_HUB, "resourceId must be that of an IoT hub")] | None = None
    """Resource id of the hub, to read its tier and units for the status; needs `credentials`."""
    tier: HubTier = HubTier.STANDARD
    """Tier of the hub, which says how many deployments there may be."""
    units: Annotated[int, Field(ge=1, le=200)] = 1
    """Units of the hub, which say how often it may be asked."""
    defaults: ModuleDefaults = ModuleDefaults()
    """What a module gets where its ModelDeployment says nothing."""
    quota: HubQuota = HubQuota()
    """How much Berth may use."""

    rules = (
        Rule(
            "!has(self.resourceId) || !has(self.connectionStringRef)",
            "Azure tells of a resource to an identity alone: remove resourceId or connectionStringRef",
        ),
    )


class DeploymentCounts(ApiModel):
    """Deployments in the hub."""

    own: Count
    """Deployments that Berth made for this cluster."""
    used: Count
    """All deployments of the hub."""
    limit: Count
    """Deployments there may be."""


class DeviceCounts(ApiModel):
    """Devices of the hub."""

    connected: Count
    """Devices that are connected now."""
    all: Count
    """Devices that the hub knows."""


class IotEdgePlaceStatus(ApiModel):
    """What is used and free in the hub."""

    tier: Tier | None = None
    """Tier of the hub, as Azure tells it where `resourceId` is given, else as the spec does."""
    units: Count | None = None
    """Units of the hub, likewise."""
    deployments: DeploymentCounts | None = None
    """Deployments."""
    devices: DeviceCounts | None = None
    """Devices."""
