"""From the bytes of a JPEG to what a network takes, within limits that hold before anything is decoded."""

import io
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from berth_scoring.fpga.errors import invalid
from berth_scoring.fpga.featurizers import Featurizer

Box = tuple[float, float, float, float]

BROKEN = (OSError, SyntaxError, ValueError, IndexError, TypeError, struct.error)
"""What Pillow raises for bytes that are no image, or not all of one."""


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """What one image may take."""

    bytes: int
    pixels: int


class ImageDecoder:
    """Makes the input of one featurizer; may be called from any thread."""

    def __init__(self, featurizer: Featurizer, limits: ImageLimits) -> None:
        self._featurizer = featurizer
        self._limits = limits
        self._means = np.array(featurizer.means, np.float32)
        self._scale = np.float32(featurizer.scale)

    def decode(self, images: Sequence[bytes], tensor: str) -> NDArray[np.float32]:
        """Return the images as one array; a rejection names the tensor and the place in it."""
        batch = np.empty((len(images), *self._featurizer.image), np.float32)
        for index, data in enumerate(images):
            self._decode_one(data, batch[index], f"tensor {tensor!r}, image {index}")
        batch -= self._means
        if self._scale != 1:
            batch *= self._scale
        return batch

    def _decode_one(self, data: bytes, target: NDArray[Any], place: str) -> None:
        if len(data) > self._limits.bytes:
            raise invalid(f"{place}: {len(data)} bytes, at most {self._limits.bytes} are taken")
        side = self._featurizer.side
        try:
            with JpegImageFile(io.BytesIO(data)) as image:
                self._check_pixels(image.size, place)
                # The decoder itself scales down by 2, 4 or 8 while it reads, which saves most of the work.
                image.draft("RGB", (2 * side, 2 * side))
                box = middle(image.size, self._featurizer.margin)
                resized = image.convert("RGB").resize((side, side), Image.Resampling.BILINEAR, box=box)
        except BROKEN as error:
            raise invalid(f"{place}: not a JPEG that can be decoded: {_cause(error)}") from error
        target[...] = resized

    def _check_pixels(self, size: tuple[int, int], place: str) -> None:
        width, height = size
        if width * height > self._limits.pixels:
            told = f"{width} x {height} pixels, at most {self._limits.pixels} in all are taken"
            raise invalid(f"{place}: {told}")


def middle(size: tuple[int, int], margin: float) -> Box | None:
    """Return the square in the middle that remains after the margin is cut off, or none for all of it."""
    if not margin:
        return None
    width, height = size
    kept = min(size) * (1 - margin)
    left, top = (width - kept) / 2, (height - kept) / 2
    return left, top, left + kept, top + kept


def check_array(shape: Sequence[int], featurizer: Featurizer, tensor: str) -> None:
    """Refuse an array of another shape before it is built."""
    if len(shape) != 1 + len(featurizer.image) or tuple(shape[1:]) != featurizer.image:
        expected = [-1, *featurizer.image]
        raise invalid(
            f"tensor {tensor!r}: expected shape {expected} for {featurizer.name}, found {list(shape)}"
        )


def check_batch(count: int, most: int, tensor: str) -> None:
    """Refuse a batch without images, or with more than are taken at once."""
    if not count:
        raise invalid(f"tensor {tensor!r}: the batch is empty")
    if count > most:
        raise invalid(f"tensor {tensor!r}: a batch of {count} images, at most {most} are taken at once")


def _cause(error: Exception) -> str:
    return str(error).partition("<")[0].strip() or type(error).__name__
