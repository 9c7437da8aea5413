"""Draws a frame with a Grad-CAM overlay, and a legend below it.

The legend covers no part of the frame, and every pixel keeps its coordinates.
"""

from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from dicom.images.frames import Frame

NOTICE: Final = "AI, research use, not verified"
_STOPS: Final = ((0, 0, 4), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164))
"""Black, purple, red, orange and yellow, by brightness for color-blind readers."""
_MOST_OPAQUE: Final = 0.65
_MINIMUM_WIDTH_PX: Final = 340
_TEXT_SHARE: Final = 1 / 45
_TEXT_PX: Final = (13, 28)
_WHITE: Final = (255, 255, 255)


def draw_heatmap(frame: Frame, heatmap: NDArray[np.uint8], label: str) -> Frame:
    """Return `frame` in RGB with `heatmap` as an overlay, and a legend that names the class `label`.

    `heatmap` is (rows, columns) of `frame`. Where it is 0, the frame is unchanged. The legend adds
    to the height of the picture, which is at least 340 pixels wide.
    """
    rows, columns = heatmap.shape
    legend = _legend(max(columns, _MINIMUM_WIDTH_PX), label)
    picture = np.zeros((rows + legend.shape[0], legend.shape[1], 3), dtype=np.uint8)
    below = frame if frame.ndim == 3 else frame[..., np.newaxis]
    opacity = (_MOST_OPAQUE / 255 * heatmap.astype(np.float32))[..., np.newaxis]
    picture[:rows, :columns] = np.rint(below * (1 - opacity) + _colors()[heatmap] * opacity)
    picture[rows:] = legend
    return picture


@cache
def _colors() -> NDArray[np.uint8]:
    """Return the color of each weight, (256, 3)."""
    weights = np.linspace(0, 255, len(_STOPS))
    channels = [np.interp(np.arange(256), weights, stop) for stop in zip(*_STOPS, strict=True)]
    return np.rint(np.stack(channels, axis=1)).astype(np.uint8)


@cache
def _legend(width_px: int, label: str) -> Frame:
    size = round(min(max(width_px * _TEXT_SHARE, _TEXT_PX[0]), _TEXT_PX[1]))
    font = ImageFont.load_default(size)
    line, margin = round(size * 1.5), size // 2
    strip = Image.new("RGB", (width_px, 2 * line + 2 * margin))
    draw = ImageDraw.Draw(strip)
    title = f"Grad-CAM of the class {label}: low"
    draw.text((margin, margin), title, _WHITE, font)
    left = 2 * margin + round(draw.textlength(title, font))
    bar = Image.fromarray(np.repeat(_colors()[np.newaxis], size, axis=0)).resize((3 * size, size))
    strip.paste(bar, (left, margin + 2))
    draw.text((left + bar.width + margin, margin), "high", _WHITE, font)
    draw.text((margin, margin + line), NOTICE, _WHITE, font)
    return np.asarray(strip, dtype=np.uint8)
