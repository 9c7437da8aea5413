"""Input gate, part 2: refuse images whose pixels show what the header does not state.

The thresholds were set on the images of BUSI, each with a wide margin: none of them comes close.
`sonogate gate` counts the refused images of a folder by reason.
"""

from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dicom.images.frames import Frame
from dicom.images.header_gate import COLOR_DOPPLER, SPLIT_SCREEN
from dicom.images.regions import BModeRegion
from dicom.results.model import RefusalReason

_DIM: Final = 30
_MIN_LIT_SHARE: Final = 0.1
"""Share of pixels brighter than _DIM. A transducer in air lights about 5 % with its own echo, the
darkest image of BUSI 38 %."""
_MIN_GRAY_RANGE: Final = 16
"""Gray levels between the 1st and the 99th percentile; 120 in the flattest image of BUSI."""
_BRIGHT: Final = 60
_MIN_CHROMA: Final = 50
_MIN_COLOR_SHARE: Final = 0.02
"""Share of the image. Calipers and markers in BUSI stay below 0.008, Doppler is above 0.05."""
_TINT_SHARE: Final = 0.6
_SAME_HUE: Final = 0.97
"""Length of the mean of the hues as unit vectors; 1 when all are equal."""
_BLACK: Final = 12
_GUTTER_BLACK_SHARE: Final = 0.98
"""Black share of each column of a gutter. The deepest shadow in BUSI has 0.88, because the skin
above it is bright."""
_MIN_GUTTER_PX: Final = 3
_EMPTY_ROW_BLACK_SHARE: Final = 0.97
_MIN_VIEW_WIDTH: Final = 0.2
"""Share of the frame. A gray scale or a column of text is narrower."""
_MIN_WIDTH_RATIO: Final = 0.7
"""Of the narrower to the wider of two views."""
_MIN_FILL: Final = 0.35
"""Share of a view that is not black. Text fills less."""
_EDGE_PX: Final = 3
_MIN_EDGE_RATIO: Final = 0.7

TOO_DARK: Final = RefusalReason("too-dark", "The image is too dark to show tissue.")
FLAT: Final = RefusalReason("flat", "The image is a uniform gray and shows no tissue.")


def find_pixel_refusal(frame: Frame, region: BModeRegion) -> RefusalReason | None:
    """Return the first reason not to analyze `frame`, whose B-mode image lies in `region`.

    Codes: too-dark, flat, color-doppler, split-screen. A split screen is searched for only where
    the header does not give the region, and is found by a black gutter between views side by side.
    Views that touch, or lie one above the other, are recognized by their header alone.
    """
    image = frame[region.y0 : region.y1, region.x0 : region.x1]
    gray = _to_brightness(image)
    if (gray > _DIM).mean() < _MIN_LIT_SHARE:
        return TOO_DARK
    low, high = np.percentile(gray, (1, 99))
    if high - low < _MIN_GRAY_RANGE:
        return FLAT
    if frame.ndim == 3 and _shows_color(image, gray):
        return COLOR_DOPPLER
    # search the whole frame: the region may be one of two views
    if region.source != "header" and _is_split_screen(_to_brightness(frame)):
        return SPLIT_SCREEN
    return None


def _to_brightness(frame: Frame) -> Frame:
    """Return the maximum of the channels."""
    brightness: Frame = frame if frame.ndim == 2 else frame.max(axis=2)
    return brightness


def _shows_color(image: Frame, gray: Frame) -> bool:
    """Whether `image` has more color than calipers and text, and is not tinted in a single hue."""
    rgb = image.astype(np.int16)
    bright = gray > _BRIGHT
    colored = bright & (np.ptp(rgb, axis=2) > _MIN_CHROMA)
    if colored.mean() < _MIN_COLOR_SHARE:
        return False
    if colored.sum() <= _TINT_SHARE * bright.sum():
        return True
    red, green, blue = rgb[colored].astype(np.float64).T
    hue = np.arctan2(np.sqrt(3) * (green - blue), 2 * red - green - blue)
    return bool(abs(np.exp(1j * hue).mean()) <= _SAME_HUE)


def _is_split_screen(gray: Frame) -> bool:
    filled_rows = (gray > _BLACK).mean(axis=1) > 1 - _EMPTY_ROW_BLACK_SHARE
    for left, right in pairwise(_find_views(gray[filled_rows])):
        narrow, wide = sorted((left.shape[1], right.shape[1]))
        filled = all((view > _BLACK).mean() >= _MIN_FILL for view in (left, right))
        sharp = _has_sharp_edge(left[:, ::-1]) and _has_sharp_edge(right)
        if narrow >= _MIN_WIDTH_RATIO * wide and filled and sharp:
            return True
    return False


def _find_views(gray: Frame) -> list[NDArray[np.uint8]]:
    """Return the parts of `gray` between black gutters that are wide enough for a view."""
    if not gray.size:
        return []
    black = (gray > _BLACK).mean(axis=0) <= 1 - _GUTTER_BLACK_SHARE
    changes = np.flatnonzero(np.diff(black, prepend=True, append=True)).tolist()
    spans: list[tuple[int, int]] = []
    for start, stop in zip(changes[::2], changes[1::2], strict=True):
        if spans and start - spans[-1][1] < _MIN_GUTTER_PX:
            spans[-1] = (spans[-1][0], stop)
        else:
            spans.append((start, stop))
    min_width = _MIN_VIEW_WIDTH * gray.shape[1]
    return [gray[:, start:stop] for start, stop in spans if stop - start >= min_width]


def _has_sharp_edge(view: Frame) -> bool:
    """Whether the first columns are as bright as those further inside. A shadow fades instead."""
    edge, inside = view[:, :_EDGE_PX], view[:, _EDGE_PX : 8 * _EDGE_PX]
    return bool(edge.mean() >= _MIN_EDGE_RATIO * inside.mean())
