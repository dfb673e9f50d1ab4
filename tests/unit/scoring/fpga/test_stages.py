"""The two graphs of a pipeline: fed in their own order, and in batches of their own size."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest
from fpga_pipelines import classifier_graph, featurizer_graph, graph, jpeg
from onnx import helper
from prometheus_client import CollectorRegistry

from berth_scoring.config import RequestLimits
from berth_scoring.formats.base import ModelLoadError, TensorSpec
from berth_scoring.fpga.device import Device
from berth_scoring.fpga.featurizers import FEATURIZERS
from berth_scoring.fpga.gate import Gate
from berth_scoring.fpga.images import ImageDecoder, ImageLimits
from berth_scoring.fpga.measures import Measures
from berth_scoring.fpga.pipeline import Pipeline
from berth_scoring.fpga.stages import ClassifierStage, FeaturizerStage, Graph, Provider, open_session
from berth_scoring.startup import StartupError

CPU = Provider("CPUExecutionProvider", {}, 1)
RESNET = FEATURIZERS["ResNet50"]


def opened(folder: Path, content: bytes) -> Graph:
    path = folder / f"{len(list(folder.iterdir()))}.onnx"
    path.write_bytes(content)
    return Graph(path, CPU)


@pytest.mark.parametrize("channels_first", [False, True])
@pytest.mark.parametrize("batch", ["N", 1, 2])
def test_weights_in_either_order_and_of_any_batch_are_fed(
    tmp_path: Path, channels_first: bool, batch: object
) -> None:
    stage = FeaturizerStage.of(
        RESNET, opened(tmp_path, featurizer_graph(channels_first=channels_first, batch=batch))
    )
    images = np.zeros((4, 224, 224, 3), np.float32)
    images[..., 1] = [[[1]], [[2]], [[3]], [[4]]]
    assert stage.run(stage.arranged(images))["features"][:, 0, 0, :3].tolist() == [
        [0, at, 0] for at in (1, 2, 3, 4)
    ]


@pytest.mark.parametrize(
    "shape", [["N", 2048], ["N", 1, 1, 2048], ["N", 2048, 1, 1], ["N", "M"], [None, None, 8]]
)
def test_features_are_given_to_a_classifier_in_its_form(tmp_path: Path, shape: list[Any]) -> None:
    stage = FeaturizerStage.of(RESNET, opened(tmp_path, featurizer_graph()))
    identity = graph([helper.make_node("Identity", ["x"], ["y"])], ("x", shape), [("y", shape)])
    seen = TensorSpec("features", np.dtype(np.float32), (1, 1, 1, 2048))
    classifier = ClassifierStage.of(opened(tmp_path, identity), stage, seen)
    features = np.arange(2 * 2048, dtype=np.float32).reshape(2, 1, 1, 2048)
    given_on = classifier.run(features)["y"]
    assert len(given_on.shape) == len(shape)
    np.testing.assert_array_equal(given_on.ravel(), features.ravel())


def test_no_classifier_follows_a_network_that_gives_boxes(tmp_path: Path) -> None:
    stage = FeaturizerStage.of(FEATURIZERS["SSDVGG"], opened(tmp_path, featurizer_graph(side=300)))
    seen = TensorSpec("features", np.dtype(np.float32), (1, 2048))
    with pytest.raises(ModelLoadError, match="no classifier follows SSDVGG"):
        ClassifierStage.of(opened(tmp_path, classifier_graph()), stage, seen)


def test_a_provider_that_falls_back_to_the_cpu_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnxruntime.InferenceSession, "get_providers", lambda _self: ["CPUExecutionProvider"])
    (tmp_path / "weights.onnx").write_bytes(featurizer_graph())
    with pytest.raises(StartupError, match="DeviceUnavailable: AzureExecutionProvider could not open its"):
        open_session(tmp_path / "weights.onnx", Provider("AzureExecutionProvider", {}, 1))


@pytest.mark.parametrize(
    ("shape", "is_stock"),
    [
        ([1, 1, 2048], False),
        ([2048], False),
        ([2048, 1, 1], False),
        ([None, None, 2048], False),
        ([1000], True),
        ([1, 1, 1001], True),
    ],
)
def test_stock_names_are_for_what_ends_in_classes(shape: list[int | None], is_stock: bool) -> None:
    described: Any = SimpleNamespace(outputs=(TensorSpec("y", np.dtype(np.float32), (None, *shape)),))
    stage = FeaturizerStage(RESNET, described, np.asarray)
    assert stage.stock_outputs == (RESNET.outputs if is_stock else ())


def halves_graph(batch: int) -> bytes:
    """Return a graph with outputs of one row per image, of one row in all, and of none."""
    return graph(
        [
            helper.make_node("Mul", ["x", "half"], ["rows"]),
            helper.make_node("ReduceMean", ["half"], ["row"], axes=[0], keepdims=1),
            helper.make_node("ReduceMean", ["half"], ["number"], axes=[0], keepdims=0),
        ],
        ("x", [batch, 2]),
        [("rows", [batch, 2]), ("row", [1]), ("number", [])],
        half=np.array([0.5], np.float32),
    )


@pytest.mark.parametrize("batch", [2, 4])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 8])
def test_a_graph_of_fixed_batches_answers_any_number(tmp_path: Path, batch: int, count: int) -> None:
    rows = np.arange(2 * count, dtype=np.float32).reshape(count, 2)
    outputs = opened(tmp_path, halves_graph(batch)).run(rows)
    np.testing.assert_array_equal(outputs["rows"], rows / 2)
    assert outputs["row"].tolist() == [0.5]
    assert outputs["number"].tolist() == 0.5


def pipeline(folder: Path, batch: object, classifier_batch: object) -> Pipeline:
    stage = FeaturizerStage.of(RESNET, opened(folder, featurizer_graph(batch=batch)))
    seen = TensorSpec("features", np.dtype(np.float32), (1, 1, 1, 2048))
    classifier = ClassifierStage.of(opened(folder, classifier_graph(batch=classifier_batch)), stage, seen)
    parts: dict[str, Any] = {
        "decoder": ImageDecoder(RESNET, ImageLimits(bytes=1_000_000, pixels=1_000_000), RequestLimits()),
        "gate": Gate(RequestLimits()),
        "measures": Measures(CollectorRegistry()),
        "device": Device([], 1),
    }
    return Pipeline(stage, classifier, "output_alias", **parts)


@pytest.mark.parametrize(
    ("batch", "classifier_batch"), [(2, "N"), (4, "N"), ("N", 4), ("N", 2), (4, 2), (2, 4)]
)
@pytest.mark.parametrize("count", [1, 3])
def test_requests_of_any_size_pass_stages_of_fixed_batches(
    tmp_path: Path, batch: object, classifier_batch: object, count: int
) -> None:
    stages = pipeline(tmp_path, batch, classifier_batch)
    stages.test()
    colours = [(0, 0, 255), (255, 0, 0), (0, 255, 0)][:count]
    outputs = stages.run(stages.decode([jpeg(colour) for colour in colours], "images"), lambda: True)
    assert outputs["probabilities"].argmax(axis=1).tolist() == [2, 0, 1][:count]
