"""Conversion of frames of any size to the square network input, and of outputs back to frames.

A frame is resized to fit and padded with black, as on an ultrasound screen. Stretching it into the
square would change the orientation of lesions: taller than wide is a strong sign of malignancy
(BI-RADS).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.types import FrameUnusable


@dataclass(frozen=True)
class Placement:
    """The position of a resized frame in the square network input."""

    size_px: int
    top_px: int
    left_px: int
    height_px: int
    width_px: int
    frame_height_px: int
    frame_width_px: int


def to_gray(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Convert uint8 ``(h, w)`` or RGB ``(h, w, 3)`` to gray ``(h, w)``.

    Raises:
        FrameUnusable: the frame has another shape or type, or no pixels.
    """
    if frame.dtype != np.uint8 or frame.size == 0:
        raise FrameUnusable(f"a frame must have uint8 pixels, not {frame.shape} {frame.dtype}")
    if frame.ndim == 2:
        return frame
    if frame.ndim != 3 or frame.shape[2] != 3:
        raise FrameUnusable(f"a frame must be (h, w) or (h, w, 3), not {frame.shape}")
    return np.asarray(Image.fromarray(frame).convert("L"))


def letterbox(frame: NDArray[np.uint8], size_px: int) -> tuple[NDArray[np.uint8], Placement]:
    """Resize a frame into uint8 ``(size_px, size_px)`` with antialiasing, padded with black.

    Raises:
        FrameUnusable: as for `to_gray`.
    """
    gray = to_gray(frame)
    height, width = gray.shape
    scale = size_px / max(height, width)
    scaled_height, scaled_width = max(1, round(height * scale)), max(1, round(width * scale))
    top, left = (size_px - scaled_height) // 2, (size_px - scaled_width) // 2
    placement = Placement(size_px, top, left, scaled_height, scaled_width, height, width)
    size = (placement.width_px, placement.height_px)
    scaled = Image.fromarray(gray).resize(size, Image.Resampling.BILINEAR)
    square = np.zeros((size_px, size_px), np.uint8)
    square[_window(placement)] = np.asarray(scaled)
    return square, placement


def to_frame(values: NDArray[np.float32], placement: Placement) -> NDArray[np.float32]:
    """Resize a square output of any resolution to the frame's ``(h, w)``, without the padding."""
    square = _resize(values, placement.size_px, placement.size_px)
    window = square[_window(placement)]
    return _resize(window, placement.frame_width_px, placement.frame_height_px)


def _window(placement: Placement) -> tuple[slice, slice]:
    return (
        slice(placement.top_px, placement.top_px + placement.height_px),
        slice(placement.left_px, placement.left_px + placement.width_px),
    )


def _resize(values: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
    if values.shape == (height, width):
        return values
    image = Image.fromarray(np.ascontiguousarray(values, np.float32))
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR), np.float32)
