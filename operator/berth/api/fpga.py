from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from berth.api.aks import Expose
from berth.api.base import ApiModel, Rule
from berth.api.common import EXTENDED_RESOURCE, NodeSelector, ObjectName, PullSecrets, Tolerations
from berth.api.source import Source

TensorName = Annotated[
    str, StringConstraints(min_length=1, max_length=256, pattern=r"^[A-Za-z0-9_.][A-Za-z0-9_./:-]*$")
]
ExtendedResource = Annotated[str, StringConstraints(max_length=317, pattern=rf"^{EXTENDED_RESOURCE}$")]


class Featurizer(StrEnum):
    """A deep network without its last layers."""

    RESNET50 = "ResNet50"
    RESNET152 = "ResNet152"
    DENSENET121 = "DenseNet121"
    VGG16 = "VGG16"
    SSDVGG = "SSDVGG"


class Device(ApiModel):
    """The devices of each replica."""

    resource_name: ExtendedResource | None = None
    """Extended resource of the device plugin. Without it, that of the ComputeTarget."""
    device_class_name: ObjectName | None = None
    """DeviceClass of a DRA driver, instead of an extended resource; the ComputeTarget must allow it."""
    count: Annotated[int, Field(ge=1, le=16)] = 1
    """Devices of each replica; each is used by one replica alone."""

    rules = (
        Rule(
            "!has(self.resourceName) || !has(self.deviceClassName)",
            "a device is named by resourceName or by deviceClassName, not by both",
        ),
    )


class Preemption(StrEnum):
    """Whether pods may end others for the devices that those hold."""

    NEVER = "Never"
    LOWER_PRIORITY = "PreemptLowerPriority"


class FpgaTarget(ApiModel):
    """Settings of the target `FPGA`: a node pool with exclusive devices."""

    featurizer: Featurizer | None = None
    """Network that runs on the device. Needed unless `spec.image` brings its own."""
    weights: Source | None = None
    """Weights of your own for the featurizer, as ONNX. Without them, the stock weights."""
    input_tensor: TensorName = "images"
    """Name of the tensor with the input."""
    output_tensor: TensorName = "output_alias"
    """Name of the tensor with the answer."""
    batch_size: Annotated[int, Field(ge=1, le=256)] = 1
    """Images that one request may hold at most."""
    device: Device = Device()
    """The devices of each replica."""
    expose: Expose = Expose()
    """How far the endpoint reaches."""
    node_selector: NodeSelector | None = None
    """Labels that a node must have, besides those of the ComputeTarget."""
    tolerations: Tolerations | None = None
    """Taints that the pods tolerate, besides those of the ComputeTarget."""
    runtime_class_name: ObjectName | None = None
    """Runtime class of the pods. Without it, that of the ComputeTarget."""
    service_account_name: ObjectName | None = None
    """Service account of the pods, for workload identity; its token for the API server is never mounted."""
    priority_class_name: ObjectName | None = None
    """Priority class of the pods, which also protects them from those of lower priority."""
    preemption: Preemption = Preemption.NEVER
    """`PreemptLowerPriority` lets the pods end others of lower priority, where their priority class does."""
    image_pull_secrets: PullSecrets | None = None
    """Secrets with the registries' credentials."""
    progress_deadline_seconds: Annotated[int, Field(ge=1, le=86_400)] = 600
    """Seconds that a rollout may take besides the end of an old pod, before it counts as stalled."""

    rules = (
        Rule(
            "self.preemption == 'Never' || has(self.priorityClassName)",
            "preemption needs priorityClassName: pods without a priority class have nobody to pre-empt",
        ),
    )
