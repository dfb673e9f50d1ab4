"""Between tensors of the protocol and arrays."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from berth_scoring.fpga.errors import invalid
from berth_scoring.fpga.wire import tensor_pb2 as wire

DTYPES = {
    np.dtype(np.float16): wire.DT_HALF,
    np.dtype(np.float32): wire.DT_FLOAT,
    np.dtype(np.float64): wire.DT_DOUBLE,
    np.dtype(np.int8): wire.DT_INT8,
    np.dtype(np.int16): wire.DT_INT16,
    np.dtype(np.int32): wire.DT_INT32,
    np.dtype(np.int64): wire.DT_INT64,
    np.dtype(np.uint8): wire.DT_UINT8,
    np.dtype(np.uint16): wire.DT_UINT16,
    np.dtype(np.uint32): wire.DT_UINT32,
    np.dtype(np.uint64): wire.DT_UINT64,
    np.dtype(np.bool_): wire.DT_BOOL,
    np.dtype(np.object_): wire.DT_STRING,
}


def shape_of(tensor: wire.TensorProto, name: str) -> list[int]:
    """Return the shape that a tensor claims."""
    if tensor.tensor_shape.unknown_rank:
        raise invalid(f"tensor {name!r}: the shape is missing")
    shape = [dim.size for dim in tensor.tensor_shape.dim]
    if any(length < 0 for length in shape):
        raise invalid(f"tensor {name!r}: the shape {shape} has a negative length")
    return shape


def strings_of(tensor: wire.TensorProto, name: str) -> Sequence[bytes]:
    """Return the values of a DT_STRING tensor, of which there must be as many as its shape says."""
    count = math.prod(shape_of(tensor, name))
    if len(tensor.string_val) != count:
        raise invalid(f"tensor {name!r}: {len(tensor.string_val)} strings for a shape of {count}")
    return tensor.string_val


def floats_of(tensor: wire.TensorProto, name: str, shape: Sequence[int]) -> NDArray[np.float32]:
    """Return a DT_FLOAT tensor, whose shape is known to be sound, as an array that may be read-only."""
    count = math.prod(shape)
    content = tensor.tensor_content  # each look at a field copies it
    if content:
        if len(content) != 4 * count:
            told = f"{len(content)} bytes for the shape {list(shape)}, which takes {4 * count}"
            raise invalid(f"tensor {name!r}: {told}")
        return np.frombuffer(content, "<f4").reshape(shape)
    values = np.fromiter(tensor.float_val, np.float32, len(tensor.float_val))
    if len(values) == 1:
        # A client writes an array of equal numbers as one.
        return np.broadcast_to(values, shape)
    if len(values) != count:
        raise invalid(f"tensor {name!r}: {len(values)} values for the shape {list(shape)}")
    return values.reshape(shape)


def tensor_of(array: NDArray[Any]) -> wire.TensorProto:
    """Return an array as a tensor."""
    shape = shape_proto(array.shape)
    if array.dtype.kind == "O":
        values = [str(value).encode() for value in array.flat]
        return wire.TensorProto(dtype=wire.DT_STRING, tensor_shape=shape, string_val=values)
    content = np.ascontiguousarray(array).tobytes()
    return wire.TensorProto(dtype=DTYPES[array.dtype], tensor_shape=shape, tensor_content=content)


def shape_proto(shape: Iterable[int]) -> wire.TensorShapeProto:
    """Return a shape as the protocol has it, with -1 for any length."""
    return wire.TensorShapeProto(dim=[wire.TensorShapeProto.Dim(size=length) for length in shape])


def dtype_name(dtype: int) -> str:
    """Return the protocol's name for a type, also of one that is not listed here."""
    return wire.DataType.Name(dtype) if dtype in wire.DataType.values() else f"type {dtype}"
