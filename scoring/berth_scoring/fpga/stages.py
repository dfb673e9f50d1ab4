"""The two networks of a pipeline, each an ONNX graph in a session of ONNX Runtime."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from berth_scoring.formats.base import ModelLoadError, Tensors, TensorSpec, only_file
from berth_scoring.formats.onnx import CLASSIFIER_LABELS, DTYPES, SUFFIXES
from berth_scoring.formats.tensors import describe
from berth_scoring.fpga.featurizers import Featurizer
from berth_scoring.startup import StartupError

Array = NDArray[Any]
Arrange = Callable[[Array], Array]


@dataclass(frozen=True, slots=True)
class Provider:
    """What runs the graphs: an execution provider of ONNX Runtime by its name, with its options."""

    name: str
    options: Mapping[str, str]
    threads: int

    @property
    def device(self) -> str:
        """What clients and metrics are told that they were served by: `cpu`, or the provider's short name."""
        return self.name.removesuffix("ExecutionProvider").lower()


class Graph:
    """An open session with one input; runs in the calling thread."""

    def __init__(self, path: Path, provider: Provider) -> None:
        self._session = open_session(path, provider)
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or not inputs[0].shape:
            names = ", ".join(repr(node.name) for node in inputs)
            raise ModelLoadError(
                f"{path.name} must have one input whose first dimension is the batch, not {names}"
            )
        self.input = _spec(inputs[0])
        self.outputs = tuple(_spec(node) for node in self._session.get_outputs() if node.type in DTYPES)
        if not self.outputs:
            raise ModelLoadError(f"{path.name} has no output that is a tensor; export with zipmap=False")
        self._names = tuple(spec.name for spec in self.outputs)

    def run(self, batch: Array, options: Any = None) -> Tensors:  # noqa: ANN401 - ONNX Runtime has no types
        """Answer a batch: at once, or in pieces of the size that the graph was compiled for."""
        step = self.input.shape[0] or len(batch)
        if step == len(batch):
            return self._run(batch, options)
        parts = [self._piece(batch[at : at + step], step, options) for at in range(0, len(batch), step)]
        return {name: _joined([part[name] for part in parts], step, len(batch)) for name in self._names}

    def _piece(self, rows: Array, step: int, options: Any) -> Tensors:  # noqa: ANN401
        repeated = np.repeat(rows[-1:], step - len(rows), axis=0)
        return self._run(np.concatenate([rows, repeated]) if len(repeated) else rows, options)

    def _run(self, batch: Array, options: Any) -> Tensors:  # noqa: ANN401
        wanted = batch.astype(self.input.dtype, copy=False)
        results = self._session.run(self._names, {self.input.name: wanted}, options)
        return dict(zip(self._names, results, strict=True))


def open_session(path: Path, provider: Provider) -> Any:  # noqa: ANN401 - ONNX Runtime has no types
    """Open a graph on the provider; ONNX Runtime alone would fall back to the CPU without a word."""
    available = onnxruntime.get_available_providers()
    if provider.name not in available:
        told = f"this image has no {provider.name}; it has {', '.join(available)}"
        raise StartupError("DeviceUnavailable", told)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = provider.threads
    options.inter_op_num_threads = 1
    # A thread that waits in a loop for work takes the time of those that decode images.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    wanted = [(provider.name, dict(provider.options))]
    session = onnxruntime.InferenceSession(str(path), options, providers=wanted)
    if session.get_providers()[0] != provider.name:
        told = f"{provider.name} could not open its device; its log says why"
        raise StartupError("DeviceUnavailable", told)
    return session


def load_graph(folder: Path, provider: Provider) -> Graph:
    """Open the one graph in a folder."""
    return Graph(only_file(folder, SUFFIXES), provider)


@dataclass(frozen=True, slots=True)
class FeaturizerStage:
    """A featurizer's graph, fed in its own order of dimensions."""

    featurizer: Featurizer
    graph: Graph
    arrange: Arrange

    @classmethod
    def of(cls, featurizer: Featurizer, graph: Graph) -> "FeaturizerStage":
        """Pair a featurizer with weights; raises ModelLoadError if they are another network's."""
        height, width, channels = featurizer.image
        layouts: Mapping[tuple[int, ...], Arrange] = {
            (height, width, channels): lambda batch: batch,
            (channels, height, width): lambda batch: batch.transpose(0, 3, 1, 2),
        }
        for shape, arrange in layouts.items():
            if _fits(graph.input.shape[1:], shape):
                return cls(featurizer, graph, arrange)
        raise ModelLoadError(
            f"the weights take {describe(graph.input.shape)} in {graph.input.name!r},"
            f" the featurizer {featurizer.name} takes {[-1, *featurizer.image]}"
        )

    def arranged(self, images: Array) -> Array:
        """Return images, which come in the order height, width, channels, as the graph takes them."""
        return np.ascontiguousarray(self.arrange(images))

    def run(self, arranged: Array, options: Any = None) -> Tensors:  # noqa: ANN401
        """Return the outputs of the graph."""
        return self.graph.run(arranged, options)

    @property
    def stock_outputs(self) -> tuple[str, ...]:
        """The names of the stock network's outputs; none for a graph that ends in features."""
        features, given = self.featurizer.features, self.graph.outputs[0].shape[1:]
        ends_early = bool(features) and math.prod(length or 1 for length in given) == math.prod(features)
        return () if ends_early else self.featurizer.outputs

    @property
    def blank(self) -> Array:
        """The smallest batch of images that the graph takes, arranged for it."""
        return self.arranged(np.zeros((self.graph.input.shape[0] or 1, *self.featurizer.image), np.float32))


@dataclass(frozen=True, slots=True)
class ClassifierStage:
    """A classifier's graph behind a featurizer."""

    graph: Graph
    shape: tuple[int, ...]

    @classmethod
    def of(cls, graph: Graph, stage: FeaturizerStage, features: TensorSpec) -> "ClassifierStage":
        """Pair a classifier with the features that it gets; raises ModelLoadError that names both shapes."""
        featurizer = stage.featurizer
        wanted = tuple(graph.input.shape[1:])
        size = math.prod(length or 1 for length in features.shape[1:])
        given = describe((None, *features.shape[1:]))
        told = (
            f"the classifier takes {describe(graph.input.shape)} in {graph.input.name!r},"
            f" the featurizer {featurizer.name} gives {given} in {features.name!r}"
        )
        if not featurizer.features:
            raise ModelLoadError(
                f"no classifier follows {featurizer.name}: it gives boxes and classes itself"
            )
        if size != math.prod(featurizer.features):
            raise ModelLoadError(f"{told}; features of {[-1, *featurizer.features]} were expected from it")
        known = [length for length in wanted if length is not None]
        if not wanted or size % math.prod(known) or (known == [*wanted] and math.prod(known) != size):
            raise ModelLoadError(told)
        return cls(graph, _without_unknown(wanted, size))

    def run(self, features: Array, options: Any = None) -> Tensors:  # noqa: ANN401
        """Return the outputs of the graph for features of any order of dimensions."""
        return self.graph.run(features.reshape(len(features), *self.shape), options)


def primary_output(outputs: Sequence[TensorSpec]) -> str:
    """Return the output that clients know by its alias: the probabilities, not the label."""
    others = [spec for spec in outputs if spec.name not in CLASSIFIER_LABELS]
    return (others or list(outputs))[0].name


def _joined(parts: Sequence[Array], step: int, count: int) -> Array:
    """Return the rows of so many images; an output without a row for each is taken from the first piece."""
    return np.concatenate(parts)[:count] if parts[0].shape[:1] == (step,) else parts[0]


def _without_unknown(wanted: tuple[int | None, ...], size: int) -> tuple[int, ...]:
    """Give dimensions without a length the values that are left: all to the last such one."""
    left = size // math.prod(length for length in wanted if length is not None)
    shape = []
    for length in reversed(wanted):
        shape.append(left if length is None else length)
        left = 1 if length is None else left
    return tuple(reversed(shape))


def _fits(found: Sequence[int | None], wanted: Sequence[int]) -> bool:
    return len(found) == len(wanted) and all(
        length in {None, want} for length, want in zip(found, wanted, strict=True)
    )


def _spec(node: Any) -> TensorSpec:  # noqa: ANN401 - ONNX Runtime has no types
    if node.type not in DTYPES:
        raise ModelLoadError(f"the input {node.name!r} is a {node.type}, which is no tensor")
    shape = tuple(length if isinstance(length, int) else None for length in node.shape)
    return TensorSpec(node.name, np.dtype(DTYPES[node.type]), shape)
