"""What the networks were not made for, as far as only the pixels tell: many headers keep silent.

The thresholds were set on BUSI's images so that each leaves a wide margin: what is refused is far
from any of them. `sonogate gate` measures how many images of a folder are refused, and why.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dicom.images.frames import Frame
from dicom.images.header_gate import COLOR_DOPPLER, SPLIT_SCREEN
from dicom.images.regions import BModeRegion
from dicom.results.model import RefusalReason

_DIM: Final = 30
_LEAST_LIT: Final = 0.1
"""Share of the region brighter than that; a probe in air shows its own echo on some 5 %, the
darkest image of BUSI has 38 %."""
_LEAST_RANGE: Final = 16
"""Gray levels between the 1st and the 99th percentile; 120 in the flattest image of BUSI."""
_BRIGHT: Final = 60
_CHROMA: Final = 50
_COLOR_SHARE: Final = 0.02
"""Of the picture: calipers and markers in BUSI stay under 0.008, Doppler is above 0.05."""
_TINT_SHARE: Final = 0.6
_ONE_HUE: Final = 0.97
"""Length of the mean of the hues as unit vectors: 1 when they all agree."""
_BLACK: Final = 12
_GUTTER: Final = 0.98
"""Black share of each column between two pictures, from top to bottom; the deepest shadow in
BUSI has 0.88, for the skin above it is bright."""
_GUTTER_PX: Final = 3
_EMPTY_ROW: Final = 0.97
_LEAST_WIDTH: Final = 0.2
"""Of the frame: a gray scale or a column of text beside the picture is narrower."""
_LIKE_WIDTH: Final = 0.7
_FILLED: Final = 0.35
"""Share of a picture that is not black; text fills less."""
_EDGE_PX: Final = 3
_EDGE_SHARE: Final = 0.7


def find_pixel_refusal(frame: Frame, region: BModeRegion) -> RefusalReason | None:
    """Return the first reason not to analyze `frame`, whose B-mode picture lies in `region`.

    Codes: too-dark, flat, color-doppler, and split-screen. The last one is looked for only where
    the header did not give the region, and finds pictures side by side with a black gutter between
    them: pictures that touch, or lie one above the other, are known by their header alone.
    """
    seen = _Seen(frame, region)
    return next((refusal for applies, refusal in _RULES if applies(seen)), None)


@dataclass(frozen=True)
class _Seen:
    frame: Frame
    region: BModeRegion

    @property
    def picture(self) -> Frame:
        return self.frame[self.region.y0 : self.region.y1, self.region.x0 : self.region.x1]

    @cached_property
    def gray(self) -> Frame:
        """The picture's brightest channel."""
        return _brightest(self.picture)


def _brightest(frame: Frame) -> Frame:
    brightest: Frame = frame if frame.ndim == 2 else frame.max(axis=2)
    return brightest


def _is_too_dark(seen: _Seen) -> bool:
    return bool((seen.gray > _DIM).mean() < _LEAST_LIT)


def _is_flat(seen: _Seen) -> bool:
    low, high = np.percentile(seen.gray, (1, 99))
    return bool(high - low < _LEAST_RANGE)


def _is_colored(seen: _Seen) -> bool:
    """A picture that is tinted as a whole in one hue is no more than gray, and a caliper's or a
    letter's color is too small to count.
    """
    if seen.frame.ndim == 2:
        return False
    picture = seen.picture.astype(np.int16)
    bright = seen.gray > _BRIGHT
    colored = bright & (np.ptp(picture, axis=2) > _CHROMA)
    if colored.mean() < _COLOR_SHARE:
        return False
    tinted = colored.sum() > _TINT_SHARE * bright.sum() and _is_one_hue(picture[colored])
    return not tinted


def _is_one_hue(colors: NDArray[np.int16]) -> bool:
    red, green, blue = colors.astype(np.float64).T
    angle = np.arctan2(np.sqrt(3) * (green - blue), 2 * red - green - blue)
    return bool(abs(np.exp(1j * angle).mean()) > _ONE_HUE)


# --------------------------------------------------------------------------- split screens


def _is_split(seen: _Seen) -> bool:
    """The whole frame is looked at: of two pictures the region may be one."""
    if seen.region.source == "header":
        return False
    gray = _brightest(seen.frame)
    gray = gray[(gray > _BLACK).mean(axis=1) > 1 - _EMPTY_ROW]
    pictures = [gray[:, start:stop] for start, stop in _between_gutters(gray > _BLACK)]
    return any(_are_alike(left, right) for left, right in pairwise(pictures))


def _between_gutters(lit: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Yield the spans of columns, wide enough for a picture, that black gutters divide."""
    if not lit.size:
        return
    black = lit.mean(axis=0) <= 1 - _GUTTER
    changes = np.flatnonzero(np.diff(black, prepend=True, append=True)).tolist()
    spans: list[tuple[int, int]] = []
    for start, stop in zip(changes[::2], changes[1::2], strict=True):
        touches = bool(spans) and start - spans[-1][1] < _GUTTER_PX
        spans.append((spans.pop()[0] if touches else start, stop))
    yield from (span for span in spans if span[1] - span[0] >= _LEAST_WIDTH * lit.shape[1])


def _are_alike(left: Frame, right: Frame) -> bool:
    narrow, wide = sorted((left.shape[1], right.shape[1]))
    filled = all((part > _BLACK).mean() >= _FILLED for part in (left, right))
    sharp = _begins_at_once(left[:, ::-1]) and _begins_at_once(right)
    return narrow >= _LIKE_WIDTH * wide and filled and sharp


def _begins_at_once(picture: Frame) -> bool:
    """Whether it is as bright at its first columns as further inside: a shadow has no edge."""
    edge, inside = picture[:, :_EDGE_PX], picture[:, _EDGE_PX : 8 * _EDGE_PX]
    return bool(edge.mean() >= _EDGE_SHARE * inside.mean())


_RULES: Final[tuple[tuple[Callable[[_Seen], bool], RefusalReason], ...]] = (
    (_is_too_dark, RefusalReason("too-dark", "The picture is black: nothing was imaged.")),
    (_is_flat, RefusalReason("flat", "The picture is one even gray: nothing was imaged.")),
    (_is_colored, COLOR_DOPPLER),
    (_is_split, SPLIT_SCREEN),
)
