"""Maps of the lesion probability of a frame, divided among the lesions on it."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dicom.results.model import LesionResult
from models.territory import territories

Mask = NDArray[np.bool_]
ProbabilityMap = NDArray[np.uint8]
"""(rows, columns) of the whole frame; 255 is certain."""


def clear_dropped_patches(
    probability: ProbabilityMap, mask: Mask, outlined: Mask
) -> ProbabilityMap:
    """Return the map with 0 around patches of ``mask`` that are not in ``outlined``.

    Such patches were too small or too many. Pixels nearest to one of them are set to 0.
    """
    dropped = mask & ~outlined
    if not dropped.any():
        return probability
    nearest = territories(outlined + 2 * dropped.astype(np.uint8))
    return np.where(nearest == 1, probability, np.uint8(0))


def add_probabilities(
    lesions: Sequence[LesionResult], maps: Mapping[int, ProbabilityMap]
) -> tuple[LesionResult, ...]:
    """Return the lesions in their order, each with its part of the map of its frame.

    ``maps`` are by 1-based frame number. Lesions on frames without a map are returned unchanged.
    """
    indices_by_frame = defaultdict(list)
    for index, lesion in enumerate(lesions):
        if lesion.frame_number in maps:
            indices_by_frame[lesion.frame_number].append(index)
    completed = list(lesions)
    for frame, indices in indices_by_frame.items():
        parts = divide_by_lesion(maps[frame], [lesions[index].mask for index in indices])
        for index, part in zip(indices, parts, strict=True):
            completed[index] = replace(lesions[index], probability=part)
    return tuple(completed)


def divide_by_lesion(
    probability: ProbabilityMap, masks: Sequence[Mask]
) -> Iterator[ProbabilityMap]:
    """Yield the map of each lesion: a pixel belongs to the nearest lesion only."""
    if len(masks) == 1:
        yield probability
        return
    owners = np.zeros(probability.shape, np.uint16)
    for number, mask in enumerate(masks, 1):
        owners[mask] = number
    nearest = territories(owners)
    for number in range(1, len(masks) + 1):
        yield np.where(nearest == number, probability, np.uint8(0))
