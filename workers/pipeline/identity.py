"""The same lesion in a later analysis of its study keeps its number and its tracking UID."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dicom.terms.lesions import Point
from models.outline import rasterize

Mask = NDArray[np.bool_]
Found = Mapping[int, Mapping[int, Mask]]
"""Lesions of one image: by their number in it, the mask on each 1-based frame."""

LEAST_OVERLAP: Final = 0.1
"""Intersection over union on one frame. Low, as where found and true lesions are matched (Jaeger
2020, Baumgartner 2021): other weights draw the same lesion much larger or smaller, and elsewhere
on the same frame of the same image is another one.
"""


@dataclass(frozen=True)
class Name:
    """What a lesion is called: the ``number`` counts over its study."""

    number: int
    tracking_uid: str


@dataclass(frozen=True)
class KnownLesion:
    """A lesion as an earlier analysis outlined it, by 1-based frame."""

    name: Name
    contours: Mapping[int, Sequence[Point]]


def name_lesions(
    found: Found,
    known: Sequence[KnownLesion],
    highest: int,
    used: Collection[str],
    uid_of: Callable[[int], str],
) -> dict[int, Name]:
    """Name the lesions ``found`` on an image of which ``known`` ones were outlined before.

    A lesion that was known keeps its name. A new one gets the next number after ``highest``, the
    highest in the study, and the first of ``uid_of(1)``, ``uid_of(2)`` and so on that is not
    ``used``: the UID of a lesion that is gone stays with it.
    """
    same = match(found, known)
    numbers = count(highest + 1)
    uids = (uid for uid in map(uid_of, count(1)) if uid not in used)
    return {
        index: same[index].name if index in same else Name(next(numbers), next(uids))
        for index in sorted(found)
    }


def match(found: Found, known: Sequence[KnownLesion]) -> dict[int, KnownLesion]:
    """Say which of ``found`` is which of ``known``, one to one; the others are left out.

    Greedy: the pair that overlaps most on any frame that both are on is joined first, of equal
    ones that with the lower numbers.
    """
    pairs = sorted(
        (-overlap, lesion.name.number, index, lesion.name.tracking_uid, lesion)
        for lesion in known
        for index, overlap in _best_overlaps(found, lesion).items()
        if overlap >= LEAST_OVERLAP
    )
    joined: dict[int, KnownLesion] = {}
    for *_, index, _, lesion in pairs:
        if index not in joined and lesion not in joined.values():
            joined[index] = lesion
    return joined


def _best_overlaps(found: Found, lesion: KnownLesion) -> dict[int, float]:
    """By number of the found lesion, over the frames that both are on."""
    best: dict[int, float] = {}
    for frame, contour in lesion.contours.items():
        here = {index: masks[frame] for index, masks in found.items() if frame in masks}
        for index, mask in here.items():
            overlap = _overlap(mask, rasterize(contour, mask.shape))
            best[index] = max(best.get(index, 0.0), overlap)
    return best


def _overlap(one: Mask, other: Mask) -> float:
    either = int(np.count_nonzero(one | other))
    return int(np.count_nonzero(one & other)) / either if either else 0.0
