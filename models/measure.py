"""Lesions in a mask, with their outlines and sizes.

Coordinates are (x, y) with the image's top left corner at (0, 0) and that pixel's center at
(0.5, 0.5), as in DICOM spatial coordinates (PS3.3 C.18.6.1.2).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull

from dicom.terms.lesions import LesionMeasurements, Point, SizeMm

MAX_CONTOUR_POINTS = 200
# About 1 mm across at usual spacings; smaller patches are noise of the network.
MIN_AREA_PX = 100

_Points = NDArray[np.float64]
_NEIGHBORS = np.ones((3, 3))


@dataclass(frozen=True, eq=False)
class LesionOutline:
    """One connected patch of a mask, and its size.

    ``mask`` is ``(h, w)`` of the image, without holes. ``bbox`` is x0, y0, x1, y1, the last two
    exclusive. ``contour`` has at most `MAX_CONTOUR_POINTS` points, the first not repeated.
    """

    mask: NDArray[np.bool_]
    bbox: tuple[int, int, int, int]
    contour: tuple[Point, ...]
    measurements: LesionMeasurements


def find_lesions(
    mask: NDArray[np.bool_],
    spacing_mm: tuple[float, float] | None = None,
    *,
    min_area_px: int = MIN_AREA_PX,
    max_lesions: int = 5,
) -> list[LesionOutline]:
    """Return the connected patches (8-neighbors) with their holes filled, largest first.

    Patches smaller than ``min_area_px`` are left out. ``spacing_mm`` is (row, column) as in
    DICOM's Pixel Spacing, None for an image that is not calibrated.

    Raises:
        ValueError: the spacing is not positive.
    """
    if spacing_mm and not (spacing_mm[0] > 0 and spacing_mm[1] > 0):
        raise ValueError(f"pixel spacing must be positive, not {spacing_mm}")
    patches, _ = ndimage.label(ndimage.binary_fill_holes(mask), _NEIGHBORS)
    areas = np.bincount(patches.ravel())
    areas[0] = 0
    largest = np.argsort(-areas, kind="stable")[:max_lesions]
    return [
        _outline(patches == label, spacing_mm)
        for label in largest
        if areas[label] >= max(1, min_area_px)
    ]


def _outline(mask: NDArray[np.bool_], spacing_mm: tuple[float, float] | None) -> LesionOutline:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    bbox = int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
    points = _trace(mask, bbox)
    tolerance_px = 0.3
    while len(simplified := _simplify(points, tolerance_px)) > MAX_CONTOUR_POINTS:
        tolerance_px *= 1.3
    contour = tuple((float(x), float(y)) for x, y in simplified)
    return LesionOutline(mask, bbox, contour, _measure(points, int(mask.sum()), spacing_mm))


def _measure(
    points: _Points, area_px: int, spacing_mm: tuple[float, float] | None
) -> LesionMeasurements:
    """Measure the axes in pixels and in mm: with unequal spacings they lie in other places."""
    long_px, short_px = _axes(points)
    if spacing_mm is None:
        return LesionMeasurements(area_px, long_px, short_px)
    row_mm, column_mm = spacing_mm
    size_mm = SizeMm(area_px * row_mm * column_mm, *_axes(points * (column_mm, row_mm)))
    return LesionMeasurements(area_px, long_px, short_px, size_mm)


# Steps between pixel corners: right, down, left, up, as (x, y).
_STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))
# Pixels around a corner, as (x, y) from the one at its lower right. Heading along step k, pixel k
# lies ahead on the left and pixel k + 1 ahead on the right.
_AROUND = ((0, -1), (0, 0), (-1, 0), (-1, -1))


def _trace(mask: NDArray[np.bool_], bbox: tuple[int, int, int, int]) -> _Points:
    """Walk clockwise around the patch along pixel edges and return the edges' midpoints.

    Midpoints follow a slope; corners would form stairs.
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
        left, right = (
            inside[corner[1] + dy, corner[0] + dx]
            for dx, dy in (_AROUND[heading], _AROUND[(heading + 1) % 4])
        )
        # Keep the patch on the right; pixels that touch diagonally belong to one patch.
        if left:
            heading = (heading - 1) % 4
        elif not right:
            heading = (heading + 1) % 4
    outline: _Points = np.array(midpoints) + np.array([x0 - 1, y0 - 1])
    return outline


def _simplify(outline: _Points, tolerance_px: float) -> _Points:
    """Simplify a closed line (Douglas and Peucker 1973)."""
    closed = np.vstack([outline, outline[:1]])
    far = int(np.argmax(np.hypot(*(outline - outline[0]).T)))
    keep = np.zeros(len(closed), np.bool_)
    keep[[0, far]] = True
    spans = [(0, far), (far, len(outline))]
    while spans:
        first, last = spans.pop()
        distances = _distances_from_chord(closed[first : last + 1])
        worst = first + int(np.argmax(distances))
        if distances[worst - first] > tolerance_px:
            keep[worst] = True
            spans += [(first, worst), (worst, last)]
    return closed[:-1][keep[:-1]]


def _distances_from_chord(line: _Points) -> NDArray[np.float64]:
    """Return how far each point is from the line between the first and the last."""
    chord, away = line[-1] - line[0], line - line[0]
    length = float(np.hypot(chord[0], chord[1]))
    across: NDArray[np.float64] = np.abs(chord[0] * away[:, 1] - chord[1] * away[:, 0])
    return across / length if length else np.asarray(np.linalg.norm(away, axis=1))


def _axes(points: _Points) -> tuple[float, float]:
    """Return the longest diameter, and the extent at right angles to it."""
    hull = points[ConvexHull(points).vertices]
    between = hull[:, None] - hull[None]
    lengths = np.hypot(between[..., 0], between[..., 1])
    first, second = np.unravel_index(int(np.argmax(lengths)), lengths.shape)
    longest = float(lengths[first, second])
    across = np.array([-1.0, 1.0]) * (hull[second] - hull[first])[::-1] / longest
    return longest, float(np.ptp(hull @ across))
