"""What a spec for FPGA tells by itself is refused when it is applied: the field, and what to do."""

from typing import Any

import pytest
from api_requests import ApiServer
from manifests import spec_with

CARD = "fpga.example.com/arria10"


@pytest.mark.parametrize(
    ("breaks", "field", "remedy"),
    [
        pytest.param(
            {"fpga.featurizer": "AlexNet"},
            'spec.fpga.featurizer: Unsupported value: "AlexNet"',
            'supported values: "ResNet50", "ResNet152", "DenseNet121", "VGG16", "SSDVGG"',
            id="unknown featurizer",
        ),
        pytest.param(
            {"code": {"uri": "configmap://iris-code", "scoringScript": "score.py"}},
            "spec.code",
            "remove it and give the classifier by spec.model",
            id="score.py",
        ),
        pytest.param(
            {"model.format": "sklearn"},
            "model.format",
            "export the classifier to ONNX and give format onnx",
            id="classifier that is no ONNX",
        ),
        pytest.param(
            {"fpga.device": {"resourceName": CARD, "deviceClassName": "fpga.example.com"}},
            "spec.fpga.device",
            "named by resourceName or by deviceClassName, not by both",
            id="resource and class",
        ),
        pytest.param(
            {"fpga.device.count": 0},
            "spec.fpga.device.count",
            "should be greater than or equal to 1",
            id="no device",
        ),
        pytest.param(
            {"fpga.device.resourceName": CARD, "resources.limits": {CARD: 1}},
            "spec.resources.limits other than cpu, memory and ephemeral-storage is not available on",
            "on FPGA, fpga.device and the ComputeTarget give devices and huge pages; remove them",
            id="the device once more",
        ),
        pytest.param(
            {"resources.requests": {CARD: 1}},
            f'unknown field "spec.resources.requests.{CARD}"',
            "unknown field",
            id="the device as a request",
        ),
        pytest.param(
            {"scaling.maxReplicas": 3},
            "scaling.maxReplicas",
            "give a fixed number of replicas",
            id="autoscaling",
        ),
        pytest.param({"fpga.batchSize": 0}, "spec.fpga.batchSize", "greater than or equal to 1", id="batch"),
    ],
)
def test_what_the_spec_tells_is_refused_with_field_and_remedy(
    api: ApiServer, breaks: dict[str, Any], field: str, remedy: str
) -> None:
    status, answer = api.try_create(spec_with("FPGA", breaks))
    assert status in {400, 422}
    assert field in answer["message"]
    assert remedy in answer["message"]
