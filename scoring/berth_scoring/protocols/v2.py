"""The Open Inference Protocol, V2, in JSON."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from berth_scoring import __version__
from berth_scoring.formats.base import TensorSpec
from berth_scoring.formats.service import Inputs, ModelService
from berth_scoring.formats.tensors import array_of, cast, check_shape
from berth_scoring.messages import Refusal, Request, Response
from berth_scoring.protocols.encoding import decode_object, encode

DATATYPES = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype(np.uint16),
    "UINT32": np.dtype(np.uint32),
    "UINT64": np.dtype(np.uint64),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype(np.int16),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "FP16": np.dtype(np.float16),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
    "BYTES": np.dtype(np.object_),
}
NAMES = {dtype: name for name, dtype in DATATYPES.items()}
MAX_RANK = 32
"""What every numpy can hold."""


class V2:
    """The routes of one model."""

    def __init__(self, service: ModelService) -> None:
        self._service = service
        self._inputs = {spec.name: spec for spec in service.model.inputs}
        self._with_rows = [spec.name for spec in service.model.inputs if spec.shape[:1] == (None,)]
        self._outputs = {spec.name: spec for spec in service.model.outputs}

    async def infer(self, request: Request) -> Response:
        """Answer `POST /v2/models/<name>/infer`."""
        body = decode_object(request.body)
        inputs = self._read_inputs(body.get("inputs"))
        wanted = self._read_wanted(body.get("outputs"))
        outputs = await self._service.predict(request, inputs, wanted)
        answer = {
            "model_name": self._service.name,
            "model_version": self._service.version,
            "outputs": [write_tensor(name, array) for name, array in outputs.items()],
        }
        return encode(answer if body.get("id") is None else answer | {"id": body["id"]})

    async def metadata(self, _request: Request) -> Response:
        """Answer `GET /v2/models/<name>`."""
        return encode(
            {
                "name": self._service.name,
                "versions": [self._service.version],
                "platform": self._service.model.platform,
                "inputs": [_describe(spec) for spec in self._inputs.values()],
                "outputs": [_describe(spec) for spec in self._outputs.values()],
            }
        )

    async def ready(self, _request: Request) -> Response:
        """Answer `GET /v2/models/<name>/ready`."""
        return encode({"name": self._service.name, "ready": True})

    def _read_inputs(self, tensors: object) -> Inputs:
        if not isinstance(tensors, list) or not tensors:
            raise Refusal(400, "inputs must be an array of tensors")
        named = [self._read_input(tensor, f"inputs[{index}]") for index, tensor in enumerate(tensors)]
        inputs = dict(named)
        if len(inputs) < len(named):
            raise Refusal(
                400,
                f"inputs: {len(named)} tensors, but the model takes one each of {', '.join(self._inputs)}",
            )
        if missing := sorted(set(self._inputs) - set(inputs)):
            raise Refusal(400, f"inputs: the model also needs {', '.join(missing)}")
        if len(self._with_rows) > 1 and len({len(inputs[name]) for name in self._with_rows}) > 1:
            raise Refusal(400, "inputs: the tensors differ in their number of rows")
        return inputs

    def _read_input(self, tensor: object, field: str) -> tuple[str, NDArray[Any]]:
        if not isinstance(tensor, dict):
            raise Refusal(400, f"{field} must be an object with name, shape, datatype and data")
        spec = self._spec(tensor.get("name"), field)
        array = read_tensor(tensor, field)
        if not np.can_cast(array.dtype, spec.dtype, "same_kind"):
            raise Refusal(
                400,
                f"{field}.datatype: input {spec.name!r} takes {NAMES[spec.dtype]}, not {tensor['datatype']}",
            )
        check_shape(array, spec, f"{field}.shape")
        return spec.name, cast(array, spec.dtype, f"{field}.data")

    def _spec(self, name: object, field: str) -> TensorSpec:
        if len(self._inputs) == 1:
            # The name of an only input tells nothing, and that of a scikit-learn model is made up.
            return next(iter(self._inputs.values()))
        if not isinstance(name, str) or name not in self._inputs:
            raise Refusal(
                400, f"{field}.name: the model has no input {name!r}, but {', '.join(self._inputs)}"
            )
        return self._inputs[name]

    def _read_wanted(self, outputs: object) -> tuple[str, ...]:
        if outputs is None or outputs == []:
            return self._service.model.defaults
        if not isinstance(outputs, list) or not all(isinstance(output, dict) for output in outputs):
            raise Refusal(400, "outputs must be an array of objects with a name")
        names = tuple(output.get("name") for output in outputs)
        for index, name in enumerate(names):
            if not isinstance(name, str) or name not in self._outputs:
                known = ", ".join(self._outputs)
                raise Refusal(400, f"outputs[{index}].name: the model has no output {name!r}, but {known}")
        return names


def read_tensor(tensor: dict[str, Any], field: str) -> NDArray[Any]:
    """Read a tensor of the datatype and shape that it claims."""
    dtype = DATATYPES.get(str(tensor.get("datatype")))
    if dtype is None:
        raise Refusal(400, f"{field}.datatype must be one of {', '.join(DATATYPES)}")
    shape = _read_shape(tensor.get("shape"), field)
    if not isinstance(tensor.get("data"), list):
        raise Refusal(400, f"{field}.data must be an array")
    array = array_of(tensor["data"], dtype, f"{field}.data")
    if array.size != math.prod(shape):
        raise Refusal(400, f"{field}.data: {array.size} values do not fill the shape {shape}")
    return array.reshape(shape)


def _read_shape(shape: object, field: str) -> list[int]:
    if isinstance(shape, list) and len(shape) <= MAX_RANK and all(type(n) is int and n > 0 for n in shape):
        return shape
    raise Refusal(400, f"{field}.shape must be an array of up to {MAX_RANK} whole numbers above 0")


def write_tensor(name: str, array: NDArray[Any]) -> dict[str, object]:
    """Write a tensor with its data flat, in row-major order."""
    return {
        "name": name,
        "datatype": _datatype(array.dtype),
        "shape": list(array.shape),
        "data": array.ravel(),
    }


async def server_metadata(_request: Request) -> Response:
    """Answer `GET /v2`."""
    return encode({"name": "berth-scoring", "version": __version__, "extensions": []})


def _describe(spec: TensorSpec) -> dict[str, object]:
    shape = [-1 if length is None else length for length in spec.shape]
    return {"name": spec.name, "datatype": _datatype(spec.dtype), "shape": shape}


def _datatype(dtype: np.dtype[Any]) -> str:
    return "BYTES" if dtype.kind in "US" else NAMES[dtype]
