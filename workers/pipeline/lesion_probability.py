"""One map of a frame's lesion probability, divided among the lesions that are outlined there."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dicom.results.model import LesionResult
from models.territory import territories

Mask = NDArray[np.bool_]
Map = NDArray[np.uint8]
"""(rows, columns) of the whole frame, 255 certain."""


def of_outlined(probability: Map, mask: Mask, outlined: Mask) -> Map:
    """What is left when the patches of ``mask`` that are not ``outlined`` count as none.

    A patch that was dropped (too small, one too many) takes with it what is nearest to it.
    """
    dropped = mask & ~outlined
    if not dropped.any():
        return probability
    nearest = territories(outlined + 2 * dropped.astype(np.uint8))
    return np.where(nearest == 1, probability, np.uint8(0))


def with_probability(
    lesions: Sequence[LesionResult], maps: Mapping[int, Map]
) -> tuple[LesionResult, ...]:
    """The lesions, in their order, each with its share of the map of its frame.

    ``maps`` are by 1-based frame; where there is none, the mask is all that is known.
    """
    by_frame = defaultdict(list)
    for index, lesion in enumerate(lesions):
        if lesion.frame_number in maps:
            by_frame[lesion.frame_number].append(index)
    found = list(lesions)
    for frame, indices in by_frame.items():
        shares = share_out(maps[frame], [lesions[index].mask for index in indices])
        for index, share in zip(indices, shares, strict=True):
            found[index] = replace(lesions[index], probability=share)
    return tuple(found)


def share_out(probability: Map, masks: Sequence[Mask]) -> Iterator[Map]:
    """Divide the map: each pixel is all of the nearest lesion, and none of the others."""
    if len(masks) == 1:
        yield probability
        return
    owners = np.zeros(probability.shape, np.uint16)
    for number, mask in enumerate(masks, 1):
        owners[mask] = number
    nearest = territories(owners)
    for number in range(1, len(masks) + 1):
        yield np.where(nearest == number, probability, np.uint8(0))
