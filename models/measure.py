"""Lesions out of a mask, and their sizes as a reader's calipers would take them.

Coordinates are (x, y) with the image's top left corner at (0, 0) and that pixel's center at
(0.5, 0.5), as in DICOM spatial coordinates (PS3.3 C.18.6.1.2).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull

MAX_CONTOUR_POINTS = 200
# About 1 mm across at usual spacings; what the networks leave below that is specks.
MIN_AREA_PX = 100

Point = tuple[float, float]
_Points = NDArray[np.float64]
_NEIGHBORS = np.ones((3, 3))


@dataclass(frozen=True)
class LesionSize:
    """A lesion's size in millimeters: short axis at right angles to the long one."""

    area_mm2: float
    long_axis_mm: float
    short_axis_mm: float


@dataclass(frozen=True, eq=False)
class Lesion:
    """One connected patch: ``mask`` ``(h, w)`` of its image, without holes.

    ``bbox`` is x0, y0, x1, y1, the last two exclusive. ``contour`` is the outline, concave where
    the lesion is, in at most `MAX_CONTOUR_POINTS` points, the first not repeated. The long axis
    is the longest line between two points of the outline, the short axis the extent across it.
    """

    mask: NDArray[np.bool_]
    area_px: int
    bbox: tuple[int, int, int, int]
    contour: tuple[Point, ...]
    long_axis_px: float
    short_axis_px: float
    long_axis_ends: tuple[Point, Point]


def find_lesions(
    mask: NDArray[np.bool_], *, min_area_px: int = MIN_AREA_PX, max_lesions: int = 5
) -> list[Lesion]:
    """Connected patches (8-neighbors), largest first, those under ``min_area_px`` dropped.

    Holes are filled: inside a lesion they are the network's doubt, not anatomy.
    """
    patches, _ = ndimage.label(ndimage.binary_fill_holes(mask), _NEIGHBORS)
    areas = np.bincount(patches.ravel())
    areas[0] = 0
    largest = np.argsort(-areas, kind="stable")[:max_lesions]
    return [_lesion(patches == label) for label in largest if areas[label] >= max(1, min_area_px)]


def measure(lesion: Lesion, spacing_mm: tuple[float, float]) -> LesionSize:
    """Size for a pixel spacing given as (row, column), as DICOM's Pixel Spacing is.

    Axes are sought in millimeters: with unequal spacings they lie elsewhere than in pixels.
    Raises ValueError for a spacing that is not positive.
    """
    row_mm, column_mm = spacing_mm
    if not (row_mm > 0 and column_mm > 0):
        raise ValueError(f"pixel spacing must be positive, not {spacing_mm}")
    _, long_mm, short_mm = _axes(_trace(lesion.mask, lesion.bbox) * (column_mm, row_mm))
    return LesionSize(lesion.area_px * row_mm * column_mm, long_mm, short_mm)


def _lesion(mask: NDArray[np.bool_]) -> Lesion:
    bbox = _bbox(mask)
    outline = _trace(mask, bbox)
    ends, long_px, short_px = _axes(outline)
    start, end = _points(ends)
    contour = tuple(_points(_simplify(outline)))
    return Lesion(mask, int(mask.sum()), bbox, contour, long_px, short_px, (start, end))


def _points(values: _Points) -> list[Point]:
    return [(float(x), float(y)) for x, y in values]


def _bbox(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


# Steps between pixel corners: right, down, left, up, as (x, y).
_STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))
# Pixels around a corner, as (x, y) from the one at its lower right. Heading along step k, pixel k
# lies ahead on the left and pixel k + 1 ahead on the right.
_AROUND = ((0, -1), (0, 0), (-1, 0), (-1, -1))


def _trace(mask: NDArray[np.bool_], bbox: tuple[int, int, int, int]) -> _Points:
    """Walk clockwise around the patch along pixel edges; return the edges' midpoints.

    Midpoints, not corners: they follow a slope instead of its stairs.
    """
    x0, y0, x1, y1 = bbox
    inside = np.pad(mask[y0:y1, x0:x1], 1)
    start = (int(np.argmax(inside[1])), 1)
    corner, heading = start, 0
    midpoints: list[Point] = []
    while not midpoints or (corner, heading) != (start, 0):
        dx, dy = _STEPS[heading]
        midpoints.append((corner[0] + dx / 2, corner[1] + dy / 2))
        corner = (corner[0] + dx, corner[1] + dy)
        heading = _turn(inside, corner, heading)
    outline: _Points = np.array(midpoints) + np.array([x0 - 1, y0 - 1])
    return outline


def _turn(inside: NDArray[np.bool_], corner: tuple[int, int], heading: int) -> int:
    """Keep the patch on the right; where it touches itself diagonally, it stays one patch."""
    left, right = (
        inside[corner[1] + dy, corner[0] + dx]
        for dx, dy in (_AROUND[heading], _AROUND[(heading + 1) % 4])
    )
    if left:
        return (heading - 1) % 4
    return heading if right else (heading + 1) % 4


def _simplify(outline: _Points) -> _Points:
    """Drop points until at most `MAX_CONTOUR_POINTS` are left, within a growing tolerance."""
    tolerance_px = 0.3
    while True:
        kept = _douglas_peucker(outline, tolerance_px)
        if len(kept) <= MAX_CONTOUR_POINTS:
            return kept
        tolerance_px *= 1.3


def _douglas_peucker(outline: _Points, tolerance: float) -> _Points:
    """Simplify a closed line (Douglas 1973), split at its first point and the farthest from it."""
    closed = np.vstack([outline, outline[:1]])
    far = int(np.argmax(np.hypot(*(outline - outline[0]).T)))
    keep = np.zeros(len(closed), np.bool_)
    keep[[0, far]] = True
    spans = [(0, far), (far, len(outline))]
    while spans:
        first, last = spans.pop()
        distances = _distances(closed[first : last + 1])
        worst = first + int(np.argmax(distances))
        if distances[worst - first] > tolerance:
            keep[worst] = True
            spans += [(first, worst), (worst, last)]
    return closed[:-1][keep[:-1]]


def _distances(line: _Points) -> NDArray[np.float64]:
    """Distances of a line's points from the chord between its ends."""
    chord, away = line[-1] - line[0], line - line[0]
    length = float(np.hypot(chord[0], chord[1]))
    across: NDArray[np.float64] = np.abs(chord[0] * away[:, 1] - chord[1] * away[:, 0])
    return across / length if length else np.asarray(np.linalg.norm(away, axis=1))


def _axes(outline: _Points) -> tuple[_Points, float, float]:
    """Ends and length of the longest diameter, and the extent across it."""
    hull = outline[ConvexHull(outline).vertices]
    between = hull[:, None] - hull[None]
    lengths = np.hypot(between[..., 0], between[..., 1])
    first, second = np.unravel_index(int(np.argmax(lengths)), lengths.shape)
    ends, longest = hull[[first, second]], float(lengths[first, second])
    across = np.array([-1.0, 1.0]) * (ends[1] - ends[0])[::-1] / longest
    return ends, longest, float(np.ptp(hull @ across))
