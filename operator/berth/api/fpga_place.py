"""A ComputeTarget of kind `FPGA`: a node pool with exclusive devices, and the stock weights for them."""

from typing import Annotated

from pydantic import Field, StringConstraints

from berth.api.base import ApiModel, ListMap, Rule
from berth.api.common import NodeSelector, ObjectName, Quantity, Sha256, Tolerations
from berth.api.fpga import ExtendedResource, Featurizer

_READABLE_EVERYWHERE = r"^(https://[^/@ ]+/[^ ]+|file:///.+|(abfss|abfs|wasbs)://[a-z0-9$-]+@[a-z0-9.-]+/.+)$"
_HUGEPAGES = "^hugepages-[1-9][0-9]*[KMG]i$"
MOST_HOLDERS = 20

Count = Annotated[int, Field(ge=0)]
Text = Annotated[str, StringConstraints(max_length=1024)]
GroupId = Annotated[int, Field(ge=1, le=2**31 - 1)]


class StockWeights(ApiModel):
    """Weights of one featurizer, for everyone who brings none."""

    featurizer: Featurizer
    """The network."""
    uri: Annotated[str, StringConstraints(max_length=1024, pattern=_READABLE_EVERYWHERE)]
    """ONNX file that every namespace can read: a URI of https, file, abfss, abfs or wasbs."""
    sha256: Sha256
    """Digest that it must have, in lower-case hex."""


class FpgaPlace(ApiModel):
    """Nodes with devices of one kind."""

    resource_name: ExtendedResource | None = None
    """Extended resource that the device plugin announces."""
    device_class_name: ObjectName | None = None
    """DeviceClass of a DRA driver, instead of an extended resource; needs `dynamicResources`."""
    dynamic_resources: bool = False
    """The container runtime knows CDI; one that does not starts pods without their device, silently."""
    node_selector: NodeSelector | None = None
    """Labels of the pool's nodes."""
    tolerations: Tolerations | None = None
    """Taints of the pool's nodes."""
    runtime_class_name: ObjectName | None = None
    """Runtime class that the devices need."""
    hugepages: (
        Annotated[
            dict[str, Quantity],
            Field(max_length=4),
            Rule(
                f"self.all(name, name.matches('{_HUGEPAGES}'))", "hugepages takes names such as hugepages-2Mi"
            ),
        ]
        | None
    ) = None
    """Huge pages of each replica, such as `hugepages-2Mi: 512Mi`."""
    supplemental_groups: Annotated[tuple[GroupId, ...], Field(max_length=8)] | None = None
    """Groups that may open the device files; pods run without root."""
    featurizers: Annotated[tuple[StockWeights, ...], Field(max_length=16), ListMap("featurizer")] | None = (
        None
    )
    """Stock weights."""
    execution_provider: (
        Annotated[str, StringConstraints(max_length=64, pattern="^[A-Za-z]+ExecutionProvider$")] | None
    ) = None
    """Execution provider of ONNX Runtime, such as `VitisAIExecutionProvider`. Without it, the CPU."""
    provider_options: (
        Annotated[dict[str, Annotated[str, StringConstraints(max_length=1024)]], Field(max_length=32)] | None
    ) = None
    """Options of the execution provider."""
    device_files: (
        Annotated[
            tuple[Annotated[str, StringConstraints(max_length=256, pattern="^/dev/[!-~]+$")], ...],
            Field(max_length=8),
        ]
        | None
    ) = None
    """Patterns of the device's files, such as `/dev/acl*`; the server is not ready before it opened one."""
    scales_from_zero: bool = False
    """An autoscaler adds nodes when pods wait, so that no node with the resource is no error."""

    rules = (
        Rule(
            "has(self.resourceName) != has(self.deviceClassName)",
            "fpga needs either resourceName or deviceClassName",
        ),
        Rule(
            "!has(self.deviceClassName) || self.dynamicResources",
            "deviceClassName needs dynamicResources: true, which says that the container runtime knows CDI",
        ),
    )


class DeviceHolder(ApiModel):
    """Who holds devices."""

    name: Text
    """NAMESPACE/NAME of the ModelDeployment, or of the pod where it is nobody of Berth's."""
    devices: Count
    """How many."""


class DeviceCounts(ApiModel):
    """Devices as the scheduler counts them; the kubelet's news may be ten seconds old."""

    resource_name: Text
    """Extended resource, or DeviceClass."""
    total: Count
    """Healthy devices of the pool."""
    allocated: Count
    """Devices that pods on these nodes asked for; more than `total` where a held one is broken."""
    free: Count
    """Devices that the next pod would get, on nodes that take pods."""
    pending: Count
    """Devices that pods wait for."""


class FpgaPlaceStatus(ApiModel):
    """What is used and free in the pool."""

    nodes: Count
    """Nodes of the pool that offer the resource."""
    devices: DeviceCounts | None = None
    """Devices."""
    holders: Annotated[tuple[DeviceHolder, ...], Field(max_length=MOST_HOLDERS), ListMap("name")] | None = (
        None
    )
    """Who holds them, those with the most first."""


class FpgaStatus(ApiModel):
    """What was made in the cluster, and the devices that it runs on."""

    service_name: Text
    """Name of the Service."""
    device: Text | None = None
    """What the pipeline says that it runs on: `cpu`, or the execution provider's short name."""
    execution_provider: Text | None = None
    """What the pipeline says that runs its networks there, such as `CPUExecutionProvider`."""
    devices: DeviceCounts | None = None
    """Devices of the pool."""
    held: Count | None = None
    """Devices that its own pods hold."""
    nodes: Annotated[tuple[Text, ...], Field(max_length=100)] | None = None
    """Nodes on which its own pods hold them."""
