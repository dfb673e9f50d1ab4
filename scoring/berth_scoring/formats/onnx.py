"""ONNX graphs, run by ONNX Runtime."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as runtime_errors

from berth_scoring.formats.base import InputError, ModelLoadError, Tensors, TensorSpec, only_file

SUFFIXES = (".onnx",)
MAX_BATCH = 256

DTYPES = {
    "tensor(float16)": np.float16,
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(int8)": np.int8,
    "tensor(int16)": np.int16,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(uint8)": np.uint8,
    "tensor(uint16)": np.uint16,
    "tensor(uint32)": np.uint32,
    "tensor(uint64)": np.uint64,
    "tensor(bool)": np.bool_,
    "tensor(string)": np.object_,
}

CLASSIFIER_LABELS = ("label", "output_label")
"""What converters call a classifier's class, which stands before its probabilities."""

REFUSALS = (runtime_errors.InvalidArgument, runtime_errors.RuntimeException)


class OnnxModel:
    """A session with its inputs and those of its outputs that are tensors."""

    platform = "onnx_onnxv1"

    def __init__(self, session: Any) -> None:  # noqa: ANN401 - ONNX Runtime has no types
        self._session = session
        self.inputs = tuple(_spec(node) for node in session.get_inputs())
        tensors = [node for node in session.get_outputs() if node.type in DTYPES]
        if not tensors:
            raise ModelLoadError(
                "the graph has no output that is a tensor; export classifiers with zipmap=False"
            )
        self.outputs = tuple(_spec(node) for node in tensors)
        self.defaults = tuple(spec.name for spec in self.outputs)
        self.primary = _primary(self.outputs)
        counts_rows = all(spec.shape[:1] == (None,) for spec in (*self.inputs, *self.outputs))
        self.max_batch = MAX_BATCH if counts_rows else 1

    def predict(self, inputs: Mapping[str, NDArray[Any]], outputs: tuple[str, ...]) -> Tensors:
        """Run the graph for the wanted outputs."""
        try:
            return dict(zip(outputs, self._session.run(outputs, inputs), strict=True))
        except REFUSALS as error:
            raise InputError(str(error)) from error


def load(folder: Path, threads: int) -> OnnxModel:
    """Load the one graph in `folder`, to be run by that many threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    path = only_file(folder, SUFFIXES)
    return OnnxModel(onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"]))


def _spec(node: Any) -> TensorSpec:  # noqa: ANN401 - ONNX Runtime has no types
    if node.type not in DTYPES:
        raise ModelLoadError(f"input {node.name!r} is a {node.type}, which JSON tensors cannot carry")
    shape = tuple(length if isinstance(length, int) else None for length in node.shape)
    return TensorSpec(node.name, np.dtype(DTYPES[node.type]), shape)


def _primary(outputs: tuple[TensorSpec, ...]) -> tuple[str, ...]:
    if outputs[0].name in CLASSIFIER_LABELS:
        return (outputs[0].name,)
    return tuple(spec.name for spec in outputs)
