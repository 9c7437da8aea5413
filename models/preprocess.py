"""Frames of any size to the network's square input, and what comes back to the frame.

A frame is scaled until it fits and the rest is padded with black. Squashing it into the square
would change what readers measure: whether a lesion is taller than wide is one of the strongest
signs of malignancy (BI-RADS, orientation). Black is what ultrasound screens show around the image.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.types import FrameUnusable


@dataclass(frozen=True)
class Placement:
    """Where a frame's pixels lie in a square network input; all in pixels."""

    size_px: int
    top_px: int
    left_px: int
    height_px: int
    width_px: int
    frame_height_px: int
    frame_width_px: int


def to_gray(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Turn ``(h, w)`` or RGB ``(h, w, 3)`` uint8 into ``(h, w)``. Raises `FrameUnusable`."""
    if frame.dtype != np.uint8 or frame.size == 0:
        raise FrameUnusable(f"a frame must hold uint8 pixels, not {frame.shape} {frame.dtype}")
    if frame.ndim == 2:
        return frame
    if frame.ndim != 3 or frame.shape[2] != 3:
        raise FrameUnusable(f"a frame must be (h, w) or (h, w, 3), not {frame.shape}")
    return np.asarray(Image.fromarray(frame).convert("L"))


def letterbox(frame: NDArray[np.uint8], size_px: int) -> tuple[NDArray[np.uint8], Placement]:
    """Fit a frame into ``(size_px, size_px)`` uint8, antialiased. Raises `FrameUnusable`."""
    gray = to_gray(frame)
    placement = _place(gray.shape[0], gray.shape[1], size_px)
    size = (placement.width_px, placement.height_px)
    scaled = Image.fromarray(gray).resize(size, Image.Resampling.BILINEAR)
    square = np.zeros((size_px, size_px), np.uint8)
    square[_window(placement)] = np.asarray(scaled)
    return square, placement


def to_frame(values: NDArray[np.float32], placement: Placement) -> NDArray[np.float32]:
    """Bring a network's square map, of any resolution, back to the frame's ``(h, w)``."""
    square = _resize(values, placement.size_px, placement.size_px)
    window = square[_window(placement)]
    return _resize(window, placement.frame_width_px, placement.frame_height_px)


def _place(height: int, width: int, size: int) -> Placement:
    scale = size / max(height, width)
    scaled_height, scaled_width = max(1, round(height * scale)), max(1, round(width * scale))
    top, left = (size - scaled_height) // 2, (size - scaled_width) // 2
    return Placement(size, top, left, scaled_height, scaled_width, height, width)


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
