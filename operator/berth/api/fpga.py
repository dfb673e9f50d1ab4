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


class Featurizer(StrEnum):
    """A deep network without its last layers."""

    RESNET50 = "ResNet50"
    RESNET152 = "ResNet152"
    DENSENET121 = "DenseNet121"
    VGG16 = "VGG16"
    SSDVGG = "SSDVGG"


class Device(ApiModel):
    """The devices of each replica."""

    resource_name: (
        Annotated[
            str,
            StringConstraints(max_length=317, pattern=rf"^{EXTENDED_RESOURCE}$"),
        ]
        | None
    ) = None
    """Extended resource of the device plugin. Without it, that of the ComputeTarget."""
    device_class_name: ObjectName | None = None
    """DeviceClass of a DRA driver, instead of an extended resource."""
    count: Annotated[int, Field(ge=1, le=16)] = 1
    """Devices of each replica; each is used by one replica alone."""

    rules = (
        Rule(
            "!has(self.resourceName) || !has(self.deviceClassName)",
            "a device is named by resourceName or by deviceClassName, not by both",
        ),
    )


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
    priority_class_name: ObjectName | None = None
    """Priority class of the pods; they pre-empt others only if it says so."""
    image_pull_secrets: PullSecrets | None = None
    """Secrets with the registries' credentials."""
    progress_deadline_seconds: Annotated[int, Field(ge=1, le=86_400)] = 600
    """Seconds that a rollout may take before the deployment counts as stalled."""
