from pathlib import Path
from typing import Any

import pytest

from berth_scoring.config import ScoringConfig
from berth_scoring.reading import ConfigError

WEIGHTS = {
    "uri": "https://example.org/resnet.onnx",
    "sha256": "ab",
    "source": None,
    "credentialsDir": "/keys",
}
FLOWERS = {"name": "flowers", "version": "1", "uri": "https://example.org/flowers.onnx"}


def read(models: tuple[dict[str, str], ...] = (FLOWERS,), **fpga: Any) -> ScoringConfig:
    described = {"featurizer": "ResNet50", "weights": WEIGHTS, **fpga}
    return ScoringConfig.from_json({"name": "flowers-fpga", "models": list(models), "fpga": described})


def test_a_pipeline_is_read_with_its_weights() -> None:
    config = read(devices=["/dev/acl*"], providerOptions={"a": "b"}, batchSize=4)
    options = config.fpga
    assert options is not None
    assert (options.featurizer, options.weights.uri) == ("ResNet50", "https://example.org/resnet.onnx")
    assert (options.input_tensor, options.output_tensor) == ("images", "output_alias")
    assert (options.grpc_port, options.batch_size) == (8500, 4)
    assert (options.devices, options.provider_options) == (("/dev/acl*",), {"a": "b"})
    assert Path("/keys") in set(config.folders())


def test_there_is_none_unless_it_is_configured() -> None:
    assert ScoringConfig.from_json({"name": "iris"}).fpga is None


@pytest.mark.parametrize(
    ("fpga", "words"),
    [
        ({"weights": None}, "lacks weights"),
        ({"weights": "vgg"}, "WeightsSource must be a JSON object"),
        ({"featurizer": None}, "lacks featurizer"),
        ({"models": (FLOWERS, FLOWERS)}, "fpga takes one model, the classifier"),
        ({"batchSize": 0}, "fpga.batchSize must be a whole number of at least 1"),
        ({"grpcPort": "8500"}, "fpga.grpcPort"),
        ({"maxImageBytes": True}, "fpga.maxImageBytes"),
        ({"inputTensor": ""}, "fpga.inputTensor must be the name of a tensor"),
        ({"devices": "/dev/acl0"}, "fpga.devices must be a list"),
        ({"providerOptions": {"a": 1}}, "fpga.providerOptions must map names to texts"),
        ({"speed": 1}, "does not know speed"),
    ],
)
def test_what_is_no_pipeline_is_refused(fpga: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        read(**fpga)
