from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from berth.api.azure import Cloud, Credentials, GroupDefaults, Guid, Location, ResourceGroupName
from berth.api.base import ApiModel, ListMap, Rule
from berth.api.common import DNS_NAME, LabelValue, keys_like_labels
from berth.api.conditions import Condition
from berth.api.fpga_place import FpgaPlace, FpgaPlaceStatus
from berth.api.iot_hub import IotEdgePlace, IotEdgePlaceStatus

KIND = "ComputeTarget"
PLURAL = "computetargets"

_CANNOT_MOVE = "cannot be changed, since groups do not move: create another ComputeTarget"

Text = Annotated[str, StringConstraints(max_length=1024)]
Count = Annotated[int, Field(ge=0)]
_LABEL_KEY = rf"^({DNS_NAME}/)?[A-Za-z0-9]([-A-Za-z0-9_.]{{0,61}}[A-Za-z0-9])?$"


class ComputeTargetKind(StrEnum):
    """A kind of place that many ModelDeployments share."""

    ACI = "ACI"
    IOT_EDGE = "IoTEdge"
    FPGA = "FPGA"


class LabelOperator(StrEnum):
    """How a label is compared."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


_COMPARE_VALUES = frozenset({LabelOperator.IN, LabelOperator.NOT_IN})


class LabelRequirement(ApiModel):
    """A comparison of one label, as in meta/v1."""

    key: Annotated[str, StringConstraints(min_length=1, max_length=317, pattern=_LABEL_KEY)]
    """Key of the label."""
    operator: LabelOperator
    """`In` and `NotIn` compare the values, `Exists` and `DoesNotExist` the key alone."""
    values: Annotated[tuple[LabelValue, ...], Field(max_length=32)] | None = None
    """Values to compare with."""

    rules = (
        Rule(
            "(self.operator in ['In', 'NotIn']) == (has(self.values) && self.values.size() > 0)",
            "operators In and NotIn need values, Exists and DoesNotExist take none",
        ),
    )

    def holds(self, labels: dict[str, str]) -> bool:
        """Tell whether labels are as required; one that is absent is not in any list."""
        if self.operator in _COMPARE_VALUES:
            is_in = self.key in labels and labels[self.key] in (self.values or ())
            return is_in is (self.operator is LabelOperator.IN)
        return (self.key in labels) is (self.operator is LabelOperator.EXISTS)


class NamespaceSelector(ApiModel):
    """Namespaces by their labels; an empty selector chooses none."""

    match_labels: (
        Annotated[dict[str, LabelValue], Field(max_length=16), keys_like_labels("matchLabels")] | None
    ) = None
    """Labels that a namespace must have, such as `kubernetes.io/metadata.name: team-a`."""
    match_expressions: Annotated[tuple[LabelRequirement, ...], Field(max_length=16)] | None = None
    """Comparisons that must all hold, too."""

    def chooses(self, labels: dict[str, str]) -> bool:
        """Tell whether a namespace with these labels is chosen."""
        wanted = (self.match_labels or {}).items()
        compared = self.match_expressions or ()
        return (
            bool(wanted or compared)
            and wanted <= labels.items()
            and all(requirement.holds(labels) for requirement in compared)
        )


class Quota(ApiModel):
    """How much Berth may use."""

    container_groups: Annotated[int, Field(ge=0, le=10_000)] | None = None
    """Container groups that Berth keeps here at most; Azure ML allowed 20. Without it, what Azure allows."""


def _fixed(name: str) -> Rule:
    return Rule("self == oldSelf", f"{name} {_CANNOT_MOVE}")


class AciPlace(ApiModel):
    """A resource group and region for Azure container groups."""

    subscription_id: Annotated[Guid, _fixed("subscriptionId")]
    """Subscription; cannot be changed."""
    resource_group: Annotated[ResourceGroupName, _fixed("resourceGroup")]
    """Resource group, which must exist; cannot be changed."""
    location: Annotated[Location, _fixed("location")]
    """Region, such as `eastus`, where a ModelDeployment names none; cannot be changed."""
    defaults: GroupDefaults = GroupDefaults()
    """What a container group gets where its ModelDeployment says nothing."""
    quota: Quota = Quota()
    """How much Berth may use."""


class ComputeTargetSpec(ApiModel):
    """A place, how to reach it, and who may use it."""

    kind: Annotated[
        ComputeTargetKind, Rule("self == oldSelf", "kind cannot be changed: create another ComputeTarget")
    ]
    """Kind of place, the `spec.target` of the ModelDeployments that use it; cannot be changed."""
    cloud: Cloud = Cloud()
    """Which Azure is meant; its name cannot be changed."""
    credentials: Credentials = Credentials()
    """Who Berth is for Azure."""
    allowed_namespaces: NamespaceSelector = NamespaceSelector()
    """Namespaces whose ModelDeployments may use it, besides the operator's own."""
    aci: AciPlace | None = None
    """Where container groups are made, for kind `ACI`."""
    iot_edge: IotEdgePlace | None = None
    """The hub of the devices, for kind `IoTEdge`."""
    fpga: FpgaPlace | None = None
    """The node pool, for kind `FPGA`."""

    rules = (
        Rule(
            "self.kind != 'ACI' || has(self.aci)",
            "kind ACI needs aci with subscriptionId, resourceGroup and location",
        ),
        Rule("self.kind != 'IoTEdge' || has(self.iotEdge)", "kind IoTEdge needs iotEdge with hostName"),
        Rule("self.kind == 'ACI' || !has(self.aci)", "aci is for kind ACI: remove it, or give that kind"),
        Rule(
            "self.kind == 'IoTEdge' || !has(self.iotEdge)",
            "iotEdge is for kind IoTEdge: remove it, or give that kind",
        ),
        Rule(
            "self.kind != 'FPGA' || has(self.fpga)",
            "kind FPGA needs fpga with resourceName or deviceClassName",
        ),
        Rule("self.kind == 'FPGA' || !has(self.fpga)", "fpga is for kind FPGA: remove it, or give that kind"),
        Rule(
            "self.kind != 'FPGA' || (self.cloud.name == 'AzurePublic' && !has(self.credentials.tenantId)"
            " && !has(self.credentials.clientId) && !has(self.credentials.secretRef))",
            "kind FPGA means the operator's own cluster: remove cloud and credentials",
        ),
        Rule(
            "!has(self.iotEdge) || !has(self.iotEdge.connectionStringRef)"
            " || !has(self.credentials.secretRef)",
            "a connection string signs in by itself: remove credentials.secretRef or connectionStringRef",
        ),
    )

    def admits(self, namespace: str, labels: dict[str, str], operator_namespace: str) -> bool:
        """Tell whether ModelDeployments of a namespace with these labels may use the place."""
        return namespace == operator_namespace or self.allowed_namespaces.chooses(labels)


class GroupCounts(ApiModel):
    """Container groups in the region, of the whole subscription."""

    own: Count
    """Groups that Berth made here for this cluster."""
    used: Count
    """All groups of the subscription in the region."""
    limit: Count
    """Groups there may be: `quota.containerGroups`, else what Azure allows."""


class CoreCounts(ApiModel):
    """CPU cores in the region, of the whole subscription."""

    used: Count
    """Cores in use."""
    limit: Count
    """Cores that Azure allows."""


class AciPlaceStatus(ApiModel):
    """What is used and free in the region."""

    container_groups: GroupCounts | None = None
    """Container groups."""
    cores: CoreCounts | None = None
    """CPU cores of regular priority."""


class ComputeTargetStatus(ApiModel):
    """What was observed."""

    observed_generation: Annotated[int, Field(ge=-1)] | None = None
    """Generation of the resource that the status speaks of; -1 before the first look."""
    conditions: Annotated[tuple[Condition, ...], Field(max_length=32), ListMap("type")] | None = None
    """`Ready` always; `Reconciling` and `Stalled` only when true; others tell the steps."""
    last_seen: Annotated[str, Field(json_schema_extra={"format": "date-time"})] | None = None
    """When Azure, or the cluster, was last asked."""
    aci: AciPlaceStatus | None = None
    """What is used and free, for kind `ACI`."""
    iot_edge: IotEdgePlaceStatus | None = None
    """What is used and free, for kind `IoTEdge`."""
    fpga: FpgaPlaceStatus | None = None
    """What is used and free, for kind `FPGA`."""


class ComputeTarget(ApiModel):
    """A place that many ModelDeployments share: outside the cluster, or a pool of its nodes."""

    spec: ComputeTargetSpec
    """A place, how to reach it, and who may use it."""
    status: ComputeTargetStatus = ComputeTargetStatus(observed_generation=-1)
    """What was observed."""
