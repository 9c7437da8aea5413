"""Near-duplicates among images, found by how alike they look when small.

Public ultrasound sets hold the same lesion several times over, some with other labels (Pawłowska
2023, doi 10.1016/j.dib.2023.109247). Two images are near-duplicates when their thumbnails, or one
and the other's mirror image, correlate by more than `ALIKE`; groups are what such pairs connect.
"""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import sparse

from models.training.pictures import read_gray

SIDE_PX = 48
ALIKE = 0.95
_BLOCK = 1024


def find_groups(images: Sequence[Path], *, alike: float = ALIKE) -> NDArray[np.int64]:
    """Number each image's group, ``(n,)``; thumbnails take 9 kB an image. Raises `DatasetError`."""
    if not images:
        return np.zeros(0, np.int64)
    straight = np.stack([_thumbnail(file) for file in images])
    flat = _normed(straight)
    mirrored = _normed(straight[:, :, ::-1])
    pairs = []
    for start in range(0, len(images), _BLOCK):
        part = flat[start : start + _BLOCK]
        row, column = np.nonzero(np.maximum(part @ flat.T, part @ mirrored.T) > alike)
        pairs.append((row + start, column))
    rows, columns = np.concatenate(pairs, axis=1)
    joined = sparse.coo_matrix((np.ones(len(rows), np.bool_), (rows, columns)), (len(images),) * 2)
    _, groups = sparse.csgraph.connected_components(joined, directed=False)
    return groups.astype(np.int64)


def contradicting(labels: Sequence[int], groups: Sequence[int]) -> set[int]:
    """Groups whose images do not all carry one label."""
    seen: dict[int, set[int]] = defaultdict(set)
    for label, group in zip(labels, groups, strict=True):
        seen[group].add(label)
    return {group for group, found in seen.items() if len(found) > 1}


def _thumbnail(file: Path) -> NDArray[np.float32]:
    small = Image.fromarray(read_gray(file)).resize((SIDE_PX, SIDE_PX), Image.Resampling.BILINEAR)
    return np.asarray(small, np.float32)


def _normed(thumbnails: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of mean 0 and length 1, so that products are correlations; a flat one stays 0."""
    flat = thumbnails.reshape(len(thumbnails), -1)
    centered = flat - flat.mean(1, keepdims=True)
    length = np.linalg.norm(centered, axis=1, keepdims=True)
    normed: NDArray[np.float32] = centered / np.maximum(length, 1e-6)
    return normed
