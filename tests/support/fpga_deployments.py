"""ModelDeployments for FPGA, and the pool that they are served in."""

from typing import Any

from deployments import MODEL, Spec, subject
from device_pods import RESOURCE

from berth.api.fpga_place import FpgaPlace
from berth.plan.fpga_placement import FpgaSubject, placed

STOCK = {"featurizer": "ResNet50", "uri": "https://example.org/resnet50.onnx", "sha256": "0a" * 32}
POOL = {"resourceName": RESOURCE, "featurizers": [STOCK]}


def fpga_spec(fpga: Spec | None = None, **fields: Any) -> Spec:
    """Give the simplest spec with the given fields; None takes one away."""
    settings = {"featurizer": "ResNet50"} | (fpga or {})
    merged = {
        "target": "FPGA",
        "computeTargetRef": {"name": "devices"},
        "model": MODEL,
        "fpga": settings,
    } | fields
    return {name: value for name, value in merged.items() if value is not None}


def pool(**fields: Any) -> FpgaPlace:
    """Give the pool with the given fields; None takes one away."""
    merged = POOL | fields
    return FpgaPlace.model_validate({name: value for name, value in merged.items() if value is not None})


def fpga_subject(
    fields: Spec | None = None,
    place: FpgaPlace | None = None,
    *,
    surge: int = 0,
    lacking: int = 0,
    **metadata: Any,
) -> FpgaSubject:
    """Give a ModelDeployment named demo/iris in a pool."""
    return placed(subject(fields or fpga_spec(), **metadata), place or pool(), surge=surge, lacking=lacking)
