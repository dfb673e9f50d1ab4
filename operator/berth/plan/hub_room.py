"""Whether one more deployment may be made in a hub: what its tier allows, and what the platform team does."""

from dataclasses import dataclass

from berth.api.iot_hub import DeploymentCounts, DeviceCounts, HubTier, IotEdgePlace, IotEdgePlaceStatus

_LIMITS = {HubTier.FREE: 10, HubTier.STANDARD: 100}


@dataclass(frozen=True, slots=True)
class HubRoom:
    """How many deployments there are, and may be."""

    own: int
    used: int
    limit: int
    quota: int | None = None

    @classmethod
    def of(cls, place: IotEdgePlace, own: int, used: int) -> "HubRoom":
        """Count what the hub holds against what it may hold."""
        return cls(own, used, _LIMITS[place.tier], place.quota.deployments)

    @property
    def free(self) -> int:
        """How many more deployments may be made."""
        allowed = self.limit - self.used
        return max(0, allowed if self.quota is None else min(allowed, self.quota - self.own))

    def told(self) -> str:
        """Say why there is no room."""
        if self.quota is not None and self.own >= self.quota:
            return f"{self.own} of the {self.quota} deployments that the ComputeTarget allows are used"
        return f"{self.used} of the {self.limit} deployments that the hub takes are used"

    def status(self, place: IotEdgePlace, devices: DeviceCounts | None) -> IotEdgePlaceStatus:
        """Return what a ComputeTarget says of it."""
        limit = self.limit if self.quota is None else min(self.quota, self.limit)
        counts = DeploymentCounts(own=self.own, used=self.used, limit=limit)
        return IotEdgePlaceStatus(
            tier=place.tier.value, units=place.units, deployments=counts, devices=devices
        )
