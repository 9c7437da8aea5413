"""Image files as 8-bit pixels.

16-bit values are reduced to their high byte, as in `workers.pipeline.image_file`: a network must
be trained on the pixels that it will analyze.
"""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.types import DatasetError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp"})
"""Suffixes of image files, in lower case."""
_DEEP_MODES = frozenset({"I", "F", "I;16", "I;16B", "I;16L", "I;16N"})
_MIN_16_BIT_MAXIMUM = 1 << 12
"""A 16-bit image whose values are all lower would keep fewer than 16 of 256 gray levels."""


def is_image_file(file: Path) -> bool:
    """Whether a file exists and has one of `SUFFIXES`."""
    return file.suffix.lower() in SUFFIXES and file.is_file()


def read_gray(file: Path) -> NDArray[np.uint8]:
    """Read gray pixels ``(h, w)``. Raises `DatasetError` if the file cannot be read."""
    return _read(file, "L")


def read_rgb(file: Path) -> NDArray[np.uint8]:
    """Read RGB pixels ``(h, w, 3)``. Raises `DatasetError` if the file cannot be read."""
    return _read(file, "RGB")


def read_mask(file: Path) -> NDArray[np.bool_]:
    """Read a mask ``(h, w)``, true where a pixel is not 0.

    Raises `DatasetError` if the file cannot be read.
    """
    with _open(file) as image:
        # JPEG compression blurs the edges of a mask.
        threshold = 127 if image.format == "JPEG" else 0
        values = np.asarray(image if image.mode in _DEEP_MODES else image.convert("L"))
        mask: NDArray[np.bool_] = values > threshold
        return mask


def _read(file: Path, mode: str) -> NDArray[np.uint8]:
    with _open(file) as image:
        if image.mode not in _DEEP_MODES:
            return np.asarray(image.convert(mode))
        values = np.clip(np.asarray(image), 0, 65535).astype(np.uint16)
        if values.max() < _MIN_16_BIT_MAXIMUM:
            raise DatasetError(
                f"{file.name} has 16-bit values up to {values.max()} only and would be nearly"
                " black; save it with 8 bits, or rescale it to 0..65535"
            )
        return np.asarray(Image.fromarray((values >> 8).astype(np.uint8)).convert(mode))


@contextmanager
def _open(file: Path) -> Iterator[Image.Image]:
    try:
        with Image.open(file) as image:
            yield image
    # What Pillow raises for damaged files.
    except (OSError, ValueError, SyntaxError, EOFError, struct.error) as error:
        raise DatasetError(f"{file.name} cannot be read as an image") from error
    except Image.DecompressionBombError as error:
        raise DatasetError(f"{file.name} has too many pixels: resize it") from error
