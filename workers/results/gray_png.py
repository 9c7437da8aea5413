"""Masks and heat maps as PNG files."""

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def encode_gray(pixels: NDArray[np.uint8]) -> bytes:
    """Return ``(rows, columns)`` as an 8-bit grayscale PNG."""
    return _encode(Image.fromarray(pixels))


def encode_mask(mask: NDArray[np.bool_]) -> bytes:
    """Return a 1-bit PNG, white on lesion pixels."""
    return _encode(Image.fromarray(mask))


def read_gray(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.asarray(image.convert("L"), np.uint8)


def read_mask(path: Path) -> NDArray[np.bool_]:
    with Image.open(path) as image:
        return np.asarray(image.convert("1"), np.bool_)


def _encode(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=3)  # twice as fast as level 6, little larger
    return buffer.getvalue()
