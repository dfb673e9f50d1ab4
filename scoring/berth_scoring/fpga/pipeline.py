"""Pre-processing, featurizer, classifier: each request alone and at once, in the thread that brings it."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from grpc import StatusCode
from numpy.typing import NDArray

from berth_scoring.formats.base import Tensors, TensorSpec
from berth_scoring.fpga.device import Device
from berth_scoring.fpga.errors import Rejected
from berth_scoring.fpga.featurizers import Featurizer
from berth_scoring.fpga.gate import Gate
from berth_scoring.fpga.images import ImageDecoder
from berth_scoring.fpga.measures import Measures
from berth_scoring.fpga.stages import ClassifierStage, FeaturizerStage, primary_output

Images = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Signature:
    """What the outputs are called: under the alias of a saved model, and in the graph."""

    specs: tuple[TensorSpec, ...]
    """The outputs of the last graph."""
    graph: tuple[str, ...]
    """Their names in the graph, as clients know them."""
    aliases: tuple[str, ...]
    """Their names for those who name the input by its alias."""
    primary: str | None
    """The one that is the answer, if one is."""

    @classmethod
    def of(cls, outputs: tuple[TensorSpec, ...], names: tuple[str, ...], alias: str) -> "Signature":
        """Name outputs: in the graph by `names`, or as the graph itself does where those do not fit."""
        own = tuple(spec.name for spec in outputs)
        graph = names if len(names) == len(own) and set(names) != set(own) else own
        # Boxes are many tensors, of which none is the answer.
        primary = primary_output(outputs) if len(names) <= 1 else None
        aliases = tuple(
            alias if spec.name == primary else name for spec, name in zip(outputs, graph, strict=True)
        )
        return cls(outputs, graph, aliases, alias if primary else None)


class Pipeline:
    """The stages of one model on one device."""

    def __init__(
        self,
        featurizer: FeaturizerStage,
        classifier: ClassifierStage | None,
        alias: str,
        *,
        decoder: ImageDecoder,
        gate: Gate,
        measures: Measures,
        device: Device,
    ) -> None:
        self._featurizer = featurizer
        self._classifier = classifier
        self._decoder = decoder
        self._gate = gate
        self._measures = measures
        self._device = device
        last = featurizer.graph if classifier is None else classifier.graph
        names = () if classifier is not None else featurizer.stock_outputs
        self.signature = Signature.of(last.outputs, names, alias)

    @property
    def featurizer(self) -> Featurizer:
        """The network that the device runs."""
        return self._featurizer.featurizer

    def decode(self, images: Sequence[bytes], tensor: str) -> Images:
        """Turn JPEGs into what the featurizer takes."""
        with self._measures.stage("preprocess"):
            return self._featurizer.arranged(self._decoder.decode(images, tensor))

    def arrange(self, images: Images) -> Images:
        """Turn an array of images into what the featurizer takes."""
        with self._measures.stage("preprocess"):
            return self._featurizer.arranged(images)

    def run(self, images: Images, is_wanted: Callable[[], bool]) -> Tensors:
        """Return the outputs of the last stage by their names in its graph, if they are still wanted."""
        if self._device.failure is not None:
            raise Rejected(StatusCode.INTERNAL, self._device.failure)
        self._measures.images(len(images))
        started = time.perf_counter()
        with self._gate.turn() as turn:
            self._measures.waited(time.perf_counter() - started)
            if not is_wanted():
                raise Rejected(StatusCode.CANCELLED, "the client has gone")
            try:
                return self._run(images, turn.options)
            except Exception as error:  # whatever the runtime of a device makes of a failure
                if turn.overdue:
                    raise
                self._device.suspect()
                raise Rejected(StatusCode.INTERNAL, f"the device has failed: {error}") from error

    def test(self) -> None:
        """Send a blank image through all stages, past the others: raises whatever is wrong."""
        self._run(self._featurizer.blank, None)

    def _run(self, images: Images, options: Any) -> Tensors:  # noqa: ANN401 - ONNX Runtime has no types
        with self._measures.stage("featurizer"):
            features = self._featurizer.run(images, options)
        if self._classifier is None:
            return features
        with self._measures.stage("classifier"):
            return self._classifier.run(next(iter(features.values())), options)
