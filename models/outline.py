"""Outlines that a reader drew, as masks. Coordinates as in `models.measure`."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dicom.terms.lesions import Point
from models.measure import LesionOutline, find_lesions
from models.types import ModelError

# Small loops arise where a hand-drawn line crosses itself; larger ones belong to a lesion.
_MAX_LOOPS_SHARE: Final = 0.05


class OutlineInvalid(ModelError):
    """Raised when an outline does not enclose exactly one area."""


def rasterize(points: Sequence[Point], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the mask of the pixels whose centers lie inside the closed line ``points``.

    ``shape`` is (rows, columns). The non-zero winding rule applies, so a line that overshoots
    its start leaves no hole.
    """
    rows, columns = shape
    start = np.asarray(points, np.float64)
    end = np.roll(start, -1, axis=0)
    centers = np.arange(rows) + 0.5
    below, above = start[:, 1:] <= centers, end[:, 1:] <= centers
    edge, row = np.nonzero(below != above)
    (x0, y0), (x1, y1) = start[edge].T, end[edge].T
    crossing = x0 + (centers[row] - y0) * (x1 - x0) / (y1 - y0)
    first = np.clip(np.ceil(crossing - 0.5), 0, columns).astype(np.intp)
    winding = np.zeros((rows, columns + 1), np.int32)
    np.add.at(winding, (row, first), np.where(below[edge, row], 1, -1))
    inside: NDArray[np.bool_] = np.cumsum(winding, axis=1)[:, :columns] != 0
    return inside


def enclosed_lesion(
    points: Sequence[Point],
    shape: tuple[int, int],
    spacing_mm: tuple[float, float] | None = None,
) -> LesionOutline:
    """Return the lesion that a closed line encloses in an image of ``shape`` (rows, columns).

    Raises:
        OutlineInvalid: the line encloses no pixel, or several areas.
    """
    mask = rasterize(points, shape)
    lesions = find_lesions(mask, spacing_mm, min_area_px=1, max_lesions=1)
    if not lesions:
        raise OutlineInvalid("the outline encloses no area: draw it again")
    if lesions[0].measurements.area_px < (1 - _MAX_LOOPS_SHARE) * mask.sum():
        raise OutlineInvalid("the outline crosses itself: draw each lesion separately")
    return lesions[0]
