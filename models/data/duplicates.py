"""Near-duplicates among images, found by the correlation of thumbnails.

Public ultrasound datasets contain the same lesion several times, some with different labels
(Pawłowska 2023, doi 10.1016/j.dib.2023.109247). Two images are near-duplicates if their thumbnails,
or the thumbnail of one and the mirrored thumbnail of the other, correlate by more than
`MIN_CORRELATION`. Groups are the connected components of these pairs.
"""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import sparse

from models.data.images import read_gray

THUMBNAIL_PX = 48
MIN_CORRELATION = 0.95
_BLOCK_ROWS = 1024


def find_duplicate_groups(images: Sequence[Path]) -> NDArray[np.int64]:
    """Return the number of each image's group, ``(n,)``.

    Needs about 9 kB of memory for each image.

    Raises:
        DatasetError: an image cannot be read.
    """
    if not images:
        return np.zeros(0, np.int64)
    thumbnails = []
    for file in images:
        small = Image.fromarray(read_gray(file)).resize(
            (THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.BILINEAR
        )
        thumbnails.append(np.asarray(small, np.float32))
    plain = _standardize(np.stack(thumbnails))
    mirrored = _standardize(np.stack(thumbnails)[:, :, ::-1])
    pairs = []
    for start in range(0, len(images), _BLOCK_ROWS):
        block = plain[start : start + _BLOCK_ROWS]
        correlations = np.maximum(block @ plain.T, block @ mirrored.T)
        row, column = np.nonzero(correlations > MIN_CORRELATION)
        pairs.append((row + start, column))
    rows, columns = np.concatenate(pairs, axis=1)
    graph = sparse.coo_matrix((np.ones(len(rows), np.bool_), (rows, columns)), (len(images),) * 2)
    _, groups = sparse.csgraph.connected_components(graph, directed=False)
    return groups.astype(np.int64)


def find_label_conflicts(labels: Sequence[int], groups: Sequence[int]) -> set[int]:
    """Return the groups whose images have different labels."""
    labels_of: dict[int, set[int]] = defaultdict(set)
    for label, group in zip(labels, groups, strict=True):
        labels_of[group].add(label)
    return {group for group, found in labels_of.items() if len(found) > 1}


def _standardize(thumbnails: NDArray[np.float32]) -> NDArray[np.float32]:
    """Flatten to rows of mean 0 and length 1, whose products are correlations.

    A thumbnail of one gray level becomes a row of zeros.
    """
    flat = thumbnails.reshape(len(thumbnails), -1)
    centered = flat - flat.mean(1, keepdims=True)
    length = np.linalg.norm(centered, axis=1, keepdims=True)
    rows: NDArray[np.float32] = centered / np.maximum(length, 1e-6)
    return rows
