from typing import Any

import pytest

from berth_scoring.config import ConfigError, ScoringConfig

MODELS = [
    {"name": name, "version": "1", "uri": f"https://example.org/{name}.onnx"}
    for name in ("resnet", "flowers")
]


def read(**pipeline: Any) -> Any:
    document = {"name": "flowers-fpga", "models": MODELS, "pipeline": {"featurizer": "ResNet50", **pipeline}}
    return ScoringConfig.from_json(document).pipeline


def test_a_pipeline_names_its_two_models() -> None:
    options = read(weights="resnet", classifier="flowers", devices=["/dev/acl*"], providerOptions={"a": "b"})
    assert (options.featurizer, options.weights, options.classifier) == ("ResNet50", "resnet", "flowers")
    assert (options.port, options.provider) == (8500, "CPUExecutionProvider")
    assert (options.devices, options.provider_options) == (("/dev/acl*",), {"a": "b"})


def test_there_is_none_unless_it_is_configured() -> None:
    assert ScoringConfig.from_json({"name": "iris"}).pipeline is None


@pytest.mark.parametrize(
    ("pipeline", "words"),
    [
        ({}, "lacks weights"),
        ({"weights": "vgg"}, "pipeline.weights must be one of the models, not 'vgg'"),
        ({"weights": "resnet", "classifier": "tulips"}, "pipeline.classifier must be one of the models"),
        ({"weights": "resnet", "maxBatch": 0}, "pipeline.maxBatch must be a whole number of at least 1"),
        ({"weights": "resnet", "port": "8500"}, "pipeline.port"),
        ({"weights": "resnet", "maxImageBytes": True}, "pipeline.maxImageBytes"),
        ({"weights": "resnet", "devices": "/dev/acl0"}, "pipeline.devices must be a list"),
        (
            {"weights": "resnet", "providerOptions": {"a": 1}},
            "pipeline.providerOptions must map names to texts",
        ),
        ({"weights": "resnet", "speed": 1}, "does not know speed"),
    ],
)
def test_what_is_no_pipeline_is_refused(pipeline: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        read(**pipeline)
