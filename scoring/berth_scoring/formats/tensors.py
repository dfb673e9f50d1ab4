"""From JSON values to tensors as a model wants them, or to a refusal that names the field."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from berth_scoring.formats.base import TensorSpec
from berth_scoring.messages import Refusal

ACCEPTED_KINDS = {"f": "fiu", "i": "iu", "u": "iu", "b": "b", "O": "U"}
"""For each kind of tensor the kinds of JSON values that fill it without loss."""

KIND_NAMES = {"f": "numbers", "i": "whole numbers", "u": "whole numbers", "b": "booleans", "O": "strings"}


def array_of(values: object, dtype: np.dtype[Any], field: str) -> NDArray[Any]:
    """Turn nested lists into an array of `dtype`."""
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise Refusal(400, f"{field}: the rows differ in length or depth") from error
    if dtype.kind == "u" and array.dtype.kind == "f":
        array = _whole_again(values, array)
    if array.dtype.kind not in ACCEPTED_KINDS[dtype.kind] and array.size:
        wanted = KIND_NAMES[dtype.kind]
        raise Refusal(
            400, f"{field}: expected {wanted}, found {_stranger(values, ACCEPTED_KINDS[dtype.kind])}"
        )
    return cast(array, dtype, field)


def cast(array: NDArray[Any], dtype: np.dtype[Any], field: str) -> NDArray[Any]:
    """Change the type of values; a whole number must fit the new one."""
    if dtype.kind in "iu" and array.dtype != dtype:
        _check_range(array, dtype, field)
    # What is too large for a short float is infinite in it, of which NumPy warns: np.errstate would cost more
    # than the cast itself.
    return array.astype(dtype, copy=False)


def check_shape(array: NDArray[Any], spec: TensorSpec, field: str) -> None:
    """Refuse an array that the model's input cannot hold."""
    if not _fits(array.shape, spec.shape):
        expected, found = describe(spec.shape), describe(array.shape)
        raise Refusal(
            400,
            f"{field}: expected shape {expected} for input {spec.name!r}, found {found}{_hint(array, spec)}",
        )
    if not array.size:
        raise Refusal(400, f"{field}: there are no rows")


def _fits(shape: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    if shape[1:] == wanted[1:] and wanted[:1] == (None,):
        return len(shape) == len(wanted)
    return len(shape) == len(wanted) and all(
        want in {None, have} for want, have in zip(wanted, shape, strict=True)
    )


def describe(shape: tuple[int | None, ...]) -> str:
    """Write a shape as the Open Inference Protocol does, with -1 for any length."""
    return str([-1 if length is None else length for length in shape])


def _hint(array: NDArray[Any], spec: TensorSpec) -> str:
    match (array.shape, spec.shape):
        case ((_, have), (_, int(want))):
            return f": the model takes {want} features per row, these rows have {have}"
        case ((_,), (_, _)):
            return ": a single row is a list in a list"
    return ""


def _whole_again(values: object, array: NDArray[Any]) -> NDArray[Any]:
    """Undo that numpy makes fractions of whole numbers of which only some need all 64 bits."""
    exact: NDArray[Any] = np.asarray(values, np.object_)
    if all(type(value) is int and 0 <= value < 1 << 64 for value in exact.flat):
        return exact.astype(np.uint64)
    return array


def _check_range(array: NDArray[Any], dtype: np.dtype[Any], field: str) -> None:
    limits = np.iinfo(dtype)
    if array.size and (array.min() < limits.min or array.max() > limits.max):
        raise Refusal(400, f"{field}: a value does not fit {dtype.name}")


def _stranger(values: object, kinds: str) -> str:
    """Find the first value that does not belong, and where it stands."""
    path = ""
    while isinstance(values, list):
        index = next((i for i, value in enumerate(values) if np.asarray(value).dtype.kind not in kinds), 0)
        values, path = values[index], f"{path}[{index}]"
    return f"{values!r:.40} at {path or 'the top'}"
