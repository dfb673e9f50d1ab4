"""The network of the flowers example has the shape of the real one."""

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import resnet50

CONVOLUTIONS = 53
WEIGHTS = 23_454_912
"""Those of the real network without its last layer, and without what normalization brings."""


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "resnet50.onnx"
    resnet50.save(path)
    return path


@pytest.fixture(scope="module")
def session(network: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(network)


def pictures(count: int) -> np.ndarray:
    return np.random.default_rng(7).uniform(-120, 130, (count, 3, 224, 224)).astype(np.float32)


def test_it_has_the_layers_and_the_weights_of_a_resnet_50(network: Path) -> None:
    model = onnx.load(network)
    onnx.checker.check_model(model, full_check=True)
    kinds = Counter(node.op_type for node in model.graph.node)
    assert kinds["Conv"] == CONVOLUTIONS
    assert kinds["Add"] == 16
    weights = [each for each in model.graph.initializer if len(each.dims) == 4]
    assert sum(np.prod(each.dims) for each in weights) == WEIGHTS


@pytest.mark.parametrize("count", [1, 3])
def test_it_gives_features_for_any_batch(session: onnxruntime.InferenceSession, count: int) -> None:
    (features,) = session.run(["features"], {"images": pictures(count)})
    assert features.shape == (count, 1, 1, 2048)


def test_features_tell_images_apart_and_stay_in_bounds(session: onnxruntime.InferenceSession) -> None:
    (features,) = session.run(["features"], {"images": pictures(2)})
    assert np.isfinite(features).all()
    assert 0.1 < features.std() < 100
    assert (features[0] != features[1]).mean() > 0.5


def test_the_same_seed_gives_the_same_file(network: Path, tmp_path: Path) -> None:
    resnet50.save(tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == network.read_bytes()
    other = resnet50.build(seed=1).graph.initializer[0]
    assert other.raw_data != onnx.load(network).graph.initializer[0].raw_data
