"""Outlines as Graphic Data (0070,0022)."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

# Graphic Data is FL, whose length field in Explicit VR has 16 bits
_MAX_POINTS: Final = 8000


def closed_outline(contour: Sequence[tuple[float, float]]) -> NDArray[np.float32]:
    """Return the (x, y) points of `contour`, (n, 2), with the first point repeated at the end.

    The coordinates are those of SCOORD (PS3.3 C.18.6.1.2) and of graphic annotations (C.10.5.1.2):
    (0, 0) is the top left corner of the first pixel. A contour that is too long for the attribute
    is thinned to every second point, or fewer.
    """
    step = -(-len(contour) // _MAX_POINTS)
    return np.array([*contour[::step], contour[0]], dtype=np.float32)
