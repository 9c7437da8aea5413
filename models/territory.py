"""Whose a pixel is that lies beside several patches."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage


def territories(patches: NDArray[np.integer]) -> NDArray[np.integer]:
    """Give each pixel the number of the patch that is nearest to it.

    ``patches`` is ``(h, w)``, 0 where there is none. Where all is 0 it comes back as it is.
    """
    if not patches.any():
        return patches
    nearest = ndimage.distance_transform_edt(
        patches == 0, return_distances=False, return_indices=True
    )
    found: NDArray[np.integer] = patches[tuple(nearest)]
    return found
