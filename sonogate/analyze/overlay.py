"""Pictures of a frame with its heat map and the outlines of its lesions."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from dicom.terms.lesions import Point

HEAT_OPACITY = 0.45
OUTLINE_RGB = (255, 214, 10)
# From dark blue to light yellow. Brightness increases, so the scale is readable in gray too.
HEAT_STOPS = np.array([[0, 0, 60], [120, 20, 120], [220, 70, 60], [250, 170, 40], [255, 250, 190]])


def draw_overlay(
    frame: NDArray[np.uint8], heatmap: NDArray[np.uint8], outlines: Iterable[tuple[Point, ...]]
) -> Image.Image:
    """Return an RGB image of the frame. The opacity of the heat map (0..255) grows with its value."""
    gray = np.repeat(frame[..., None], 3, axis=2) if frame.ndim == 2 else frame
    heat = heatmap / 255
    opacity = HEAT_OPACITY * heat[..., None]
    stops = np.linspace(0, 1, len(HEAT_STOPS))
    colors = np.stack([np.interp(heat, stops, channel) for channel in HEAT_STOPS.T], axis=-1)
    blended = np.rint((1 - opacity) * gray + opacity * colors)
    image = Image.fromarray(blended.astype(np.uint8))
    pen = ImageDraw.Draw(image)
    width = max(1, round(max(image.size) / 400))
    for outline in outlines:
        pen.line([*outline, outline[0]], fill=OUTLINE_RGB, width=width, joint="curve")
    return image
