"""A frame as people look at it: heat map over the picture, outlines over both."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from dicom.terms.lesions import Point

HEAT_OPACITY = 0.45
OUTLINE_RGB = (255, 214, 10)
# Dark blue over magenta and orange to light yellow: rises in brightness, so it reads in gray too.
HEAT_STOPS = np.array([[0, 0, 60], [120, 20, 120], [220, 70, 60], [250, 170, 40], [255, 250, 190]])


def draw_overlay(
    frame: NDArray[np.uint8], heatmap: NDArray[np.uint8], outlines: Iterable[tuple[Point, ...]]
) -> Image.Image:
    """An RGB image of the frame's size. The heat map (0..255) shows more the hotter it is."""
    gray = np.repeat(frame[..., None], 3, axis=2) if frame.ndim == 2 else frame
    heat = heatmap / 255
    opacity = HEAT_OPACITY * heat[..., None]
    blended = np.rint((1 - opacity) * gray + opacity * _colors(heat))
    image = Image.fromarray(blended.astype(np.uint8))
    pen = ImageDraw.Draw(image)
    width = max(1, round(max(image.size) / 400))
    for outline in outlines:
        pen.line([*outline, outline[0]], fill=OUTLINE_RGB, width=width, joint="curve")
    return image


def _colors(heat: NDArray[np.float64]) -> NDArray[np.float64]:
    places = np.linspace(0, 1, len(HEAT_STOPS))
    return np.stack([np.interp(heat, places, channel) for channel in HEAT_STOPS.T], axis=-1)
