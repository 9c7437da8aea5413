"""Frames as JPEG and heat maps as PNG, for the browser."""

import io
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from dicom.images.frames import decode_frames

JPEG_QUALITY: Final = 95
"""Readers judge speckle texture, so that the JPEG must not visibly differ from the frame."""
THUMBNAIL_PX: Final = 192

# From dark violet over red to pale yellow. Brightness increases monotonically, so that the order is
# visible with any color vision, and the hues do not occur in a gray ultrasound image.
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
    """Return frame ``number`` (from 1) of a DICOM file.

    Raises:
        DicomError: the file or the frame cannot be decoded.
    """
    return _jpeg(_decode_frame(path, number), JPEG_QUALITY)


def thumbnail_jpeg(path: Path, number: int) -> bytes:
    """Return frame ``number`` (from 1), at most ``THUMBNAIL_PX`` wide and high.

    Raises:
        DicomError: the file or the frame cannot be decoded.
    """
    image = _decode_frame(path, number)
    image.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX), reducing_gap=2)
    return _jpeg(image, 85)


def heatmap_png(path: Path) -> bytes:
    """Return a stored heat map (8-bit grayscale PNG) in color, transparent where it is low.

    Raises:
        OSError: the file is missing or is not an image.
    """
    share = np.linspace(0, 1, 256)
    at = np.linspace(0, 1, len(_ANCHORS))
    colors = np.stack([np.interp(share, at, _ANCHORS[:, c]) for c in range(3)], axis=1)
    alpha = 255 * np.clip(share * 1.6, 0, 1)
    rgba = np.column_stack([colors, alpha]).round().astype(np.uint8)
    with Image.open(path) as image:
        values = np.asarray(image.convert("L"))
    buffer = io.BytesIO()
    Image.fromarray(rgba[values], "RGBA").save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()


def _decode_frame(path: Path, number: int) -> Image.Image:
    return Image.fromarray(next(decode_frames(path, [number - 1])))


def _jpeg(image: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()
