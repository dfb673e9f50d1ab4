from typing import Any

import pytest

from berth_scoring.config import ScoringConfig
from berth_scoring.fpga.options import PipelineOptions
from berth_scoring.reading import ConfigError

MODELS = [
    {"name": name, "version": "1", "uri": f"https://example.org/{name}"} for name in ("resnet", "flowers")
]


def read(**pipeline: Any) -> PipelineOptions:
    described = {"featurizer": "ResNet50", "weights": "resnet", **pipeline}
    document = {"name": "flowers-fpga", "models": MODELS, "pipeline": described}
    options = ScoringConfig.from_json(document).pipeline
    assert options is not None
    return options


def test_a_pipeline_names_its_two_models() -> None:
    options = read(classifier="flowers", devices=["/dev/acl*"], providerOptions={"a": "b"}, maxBatch=4)
    assert (options.featurizer, options.weights, options.classifier) == ("ResNet50", "resnet", "flowers")
    assert (options.input_tensor, options.output_tensor) == ("images", "output_alias")
    assert (options.port, options.max_batch) == (8500, 4)
    assert (options.devices, options.provider_options) == (("/dev/acl*",), {"a": "b"})


def test_there_is_none_unless_it_is_configured() -> None:
    assert ScoringConfig.from_json({"name": "iris"}).pipeline is None


@pytest.mark.parametrize(
    ("pipeline", "words"),
    [
        ({"weights": None}, "lacks weights"),
        ({"weights": "vgg"}, "pipeline.weights must be one of the models, not 'vgg'"),
        ({"classifier": "tulips"}, "pipeline.classifier must be one of the models"),
        ({"featurizer": None}, "lacks featurizer"),
        ({"maxBatch": 0}, "pipeline.maxBatch must be a whole number of at least 1"),
        ({"port": "8500"}, "pipeline.port"),
        ({"maxImageBytes": True}, "pipeline.maxImageBytes"),
        ({"inputTensor": ""}, "pipeline.inputTensor must be the name of a tensor"),
        ({"devices": "/dev/acl0"}, "pipeline.devices must be a list"),
        ({"providerOptions": {"a": 1}}, "pipeline.providerOptions must map names to texts"),
        ({"speed": 1}, "does not know speed"),
    ],
)
def test_what_is_no_pipeline_is_refused(pipeline: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        read(**pipeline)
