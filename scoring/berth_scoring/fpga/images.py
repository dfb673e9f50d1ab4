"""From the bytes of a JPEG to what a network takes, within limits that hold before anything is decoded."""

import io
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from berth_scoring.config import RequestLimits
from berth_scoring.fpga.errors import invalid
from berth_scoring.fpga.featurizers import Featurizer
from berth_scoring.fpga.places import Places

Box = tuple[float, float, float, float]

BROKEN = (OSError, SyntaxError, ValueError, IndexError, TypeError, struct.error)
"""What Pillow raises for bytes that are no image, or not all of one."""

SCAN = b"\xff\xda"
MOST_SCANS = 200
"""Ten are common, and each passes over all pixels, however few bytes it has.

In a film behind the image, as telephones add one, these two bytes come once in 64 KiB by chance.
"""

DECODED_AT_ONCE = 4
"""A progressive JPEG of 25 million pixels takes 150 MiB while it is decoded."""


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """What one image may take."""

    bytes: int
    pixels: int


class ImageDecoder:
    """Makes the input of one featurizer; may be called from any thread."""

    def __init__(self, featurizer: Featurizer, limits: ImageLimits, requests: RequestLimits) -> None:
        self._featurizer = featurizer
        self._limits = limits
        self._places = Places(
            DECODED_AT_ONCE, requests.max_queue_wait_milliseconds, "other images are being decoded"
        )
        # A whole row at once: to subtract three numbers again and again takes five times as long.
        self._means = np.tile(np.array(featurizer.means, np.float32), featurizer.side)
        self._scale = np.float32(featurizer.scale)

    def decode(self, images: Sequence[bytes], tensor: str) -> NDArray[np.float32]:
        """Return the images as one array; a rejection names the tensor and the place in it."""
        side = self._featurizer.side
        with self._places:
            rows = np.empty((len(images), side, len(self._means)), np.float32)
            for index, data in enumerate(images):
                image = self._decoded(data, f"tensor {tensor!r}, image {index}")
                np.subtract(np.asarray(image).reshape(side, -1), self._means, out=rows[index])
        if self._scale != 1:
            rows *= self._scale
        return rows.reshape(len(images), *self._featurizer.image)

    def _decoded(self, data: bytes, place: str) -> Image.Image:
        if len(data) > self._limits.bytes:
            raise invalid(f"{place}: {len(data)} bytes, at most {self._limits.bytes} are taken")
        side, margin = self._featurizer.side, self._featurizer.margin
        try:
            with JpegImageFile(io.BytesIO(data)) as image:
                self._check_pixels(image.size, place)
                _check_scans(data, place)
                # The decoder itself scales down by 2, 4 or 8 while it reads, which saves most of the work.
                needed = math.ceil(side / (1 - margin))
                image.draft("RGB", (needed, needed))
                box = middle(image.size, margin)
                coloured = image if image.mode == "RGB" else image.convert("RGB")
                return coloured.resize((side, side), Image.Resampling.BILINEAR, box=box)
        except BROKEN as error:
            raise invalid(f"{place}: not a JPEG that can be decoded: {_cause(error)}") from error

    def _check_pixels(self, size: tuple[int, int], place: str) -> None:
        width, height = size
        if width * height > self._limits.pixels:
            told = f"{width} x {height} pixels, at most {self._limits.pixels} in all are taken"
            raise invalid(f"{place}: {told}")


def _check_scans(data: bytes, place: str) -> None:
    scans = data.count(SCAN)
    if scans > MOST_SCANS:
        raise invalid(f"{place}: {scans} scans, at most {MOST_SCANS} are taken")


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
