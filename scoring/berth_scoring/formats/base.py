"""What every runtime offers: named tensors in, named tensors out."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Tensors = dict[str, NDArray[Any]]


class ModelLoadError(Exception):
    """A model's files are not what its format promises."""


class InputError(ValueError):
    """The model itself refuses these values."""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """The name, type and shape of a tensor; the first dimension counts rows, None stands for any length."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int | None, ...]


class FormatModel(Protocol):
    """A model that a runtime has loaded."""

    platform: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    primary: tuple[str, ...]
    """The outputs that V1 clients get."""
    defaults: tuple[str, ...]
    """The outputs that V2 clients get who name none."""
    max_batch: int
    """How many requests may be joined in one call."""

    def predict(self, inputs: Mapping[str, NDArray[Any]], outputs: tuple[str, ...]) -> Tensors:
        """Compute the wanted outputs; raises InputError for values that the model refuses."""
        ...


def only_file(folder: Path, suffixes: tuple[str, ...]) -> Path:
    """Return the one file below `folder` that has one of the suffixes."""
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in suffixes and path.is_file())
    if len(found) == 1:
        return found[0]
    wanted = " or ".join(f"*{suffix}" for suffix in suffixes)
    names = ", ".join(path.name for path in found) or "none"
    raise ModelLoadError(f"expected exactly one {wanted} in the model folder, found {names}")
