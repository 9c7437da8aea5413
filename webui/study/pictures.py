"""Frames and heat maps as browsers take them. Arrays in, bytes out."""

import io
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dicom.images.frames import decode_frames

JPEG_QUALITY: Final = 95
"""Speckle is texture that readers judge: no visible loss beside the lossless frame."""
THUMBNAIL_PX: Final = 192

# Dark violet over red to pale yellow: brightness rises all the way, so that it reads the same with
# any color vision, and differs from everything in a gray ultrasound picture.
_ANCHORS: Final = np.array(
    [
        (0, 0, 4),
        (87, 16, 110),
        (188, 55, 84),
        (249, 142, 9),
        (252, 255, 164),
    ],
    dtype=np.float64,
)


def frame_jpeg(path: Path, number: int) -> bytes:
    """Frame ``number`` (from 1) of a DICOM file.

    Raises:
        DicomError: the file or the frame cannot be decoded.
    """
    return _jpeg(_frame(path, number), JPEG_QUALITY)


def thumbnail_jpeg(path: Path, number: int) -> bytes:
    """Frame ``number`` (from 1), at most ``THUMBNAIL_PX`` wide or high."""
    image = _frame(path, number)
    image.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX), reducing_gap=2)
    return _jpeg(image, 85)


def heatmap_png(path: Path) -> bytes:
    """A stored heat map (8-bit gray PNG, 0..255) in color, clear where it is cold.

    Raises:
        OSError: the file is gone or is no picture.
    """
    with Image.open(path) as image:
        values = np.asarray(image.convert("L"))
    buffer = io.BytesIO()
    Image.fromarray(_color_table()[values], "RGBA").save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()


def _frame(path: Path, number: int) -> Image.Image:
    return Image.fromarray(next(decode_frames(path, [number - 1])))


def _jpeg(image: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()


def _color_table() -> NDArray[np.uint8]:
    """RGBA for each of 256 values."""
    share = np.linspace(0, 1, 256)
    at = np.linspace(0, 1, len(_ANCHORS))
    colors = np.stack([np.interp(share, at, _ANCHORS[:, c]) for c in range(3)], axis=1)
    alpha = 255 * np.clip(share * 1.6, 0, 1)
    return np.column_stack([colors, alpha]).round().astype(np.uint8)
