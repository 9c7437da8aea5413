"""Assignment of pixels to the nearest patch."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage


def territories(patches: NDArray[np.integer]) -> NDArray[np.integer]:
    """Return for each pixel the number of the nearest patch.

    ``patches`` is ``(h, w)``, 0 outside patches. Without any patch the result is all 0.
    """
    if not patches.any():
        return patches
    nearest = ndimage.distance_transform_edt(
        patches == 0, return_distances=False, return_indices=True
    )
    numbers: NDArray[np.integer] = patches[tuple(nearest)]
    return numbers
