"""A reader's outline as a mask, in the coordinates of `models.measure`."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.measure import Lesion, Point, find_lesions
from models.types import ModelError

# What a hand leaves where a line crosses itself; more than that is a part of the lesion.
_LOOPS_SHARE: Final = 0.05


class OutlineInvalid(ModelError):
    """The outline does not enclose one area; the text says what to do."""


def rasterize(points: Sequence[Point], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Pixels of ``shape`` (rows, columns) whose centers lie inside the closed line ``points``.

    A pixel is inside where the line winds around it (non-zero rule), so that a hand that
    overshoots its start leaves no hole.
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


def outlined(points: Sequence[Point], shape: tuple[int, int]) -> Lesion:
    """The lesion that a closed line encloses in an image of ``shape`` (rows, columns).

    Raises:
        OutlineInvalid: it encloses no pixel, or several areas.
    """
    mask = rasterize(points, shape)
    found = find_lesions(mask, min_area_px=1, max_lesions=1)
    if not found:
        raise OutlineInvalid("the outline encloses nothing: draw it again")
    if found[0].area_px < (1 - _LOOPS_SHARE) * mask.sum():
        raise OutlineInvalid("the outline crosses itself: draw each lesion on its own")
    return found[0]
