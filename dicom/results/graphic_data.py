"""Outlines as Graphic Data (0070,0022)."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

# Graphic Data is FL, whose length in Explicit VR is 16 bits: more points would not fit
_MAX_POINTS: Final = 8000


def closed_outline(contour: Sequence[tuple[float, float]]) -> NDArray[np.float32]:
    """Return the (x, y) points of `contour`, (n, 2), the last one the first again.

    In the coordinates of both SCOORD (PS3.3 C.18.6.1.2) and graphic annotations (C.10.5.1.2): the
    first pixel's top left corner is (0, 0). A contour of very many points loses every second one,
    or more.
    """
    step = -(-len(contour) // _MAX_POINTS)
    return np.array([*contour[::step], contour[0]], dtype=np.float32)
