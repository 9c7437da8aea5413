"""Number and tracking UID of a lesion, the same in all analyses of its study."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dicom.terms.lesions import Point
from models.outline import rasterize

Mask = NDArray[np.bool_]
MasksByLesion = Mapping[int, Mapping[int, Mask]]
"""The lesions of one image: by lesion number and 1-based frame number."""

MIN_IOU: Final = 0.1
"""Intersection over union on one frame. Low, as usual for matching detections to a reference
(Jaeger 2020, Baumgartner 2021), because other weights may outline a lesion much larger or smaller.
"""


@dataclass(frozen=True)
class LesionIdentity:
    """``number`` counts over the study."""

    number: int
    tracking_uid: str


@dataclass(frozen=True)
class KnownLesion:
    """A lesion of an earlier analysis, with its contours by 1-based frame number."""

    identity: LesionIdentity
    contours: Mapping[int, Sequence[Point]]


def identify_lesions(
    masks: MasksByLesion,
    known: Sequence[KnownLesion],
    highest_number: int,
    used_uids: Collection[str],
    build_uid: Callable[[int], str],
) -> dict[int, LesionIdentity]:
    """Return the identity of each lesion of an image, by its number in ``masks``.

    A lesion that matches one of ``known``, those of earlier analyses of the image, keeps its
    identity. A new one gets the next number after ``highest_number``, the highest in the study,
    and the first of ``build_uid(1)``, ``build_uid(2)`` … that is not in ``used_uids``: the UID of
    a lesion is never given to another.
    """
    matched = match_lesions(masks, known)
    numbers = count(highest_number + 1)
    uids = (uid for uid in map(build_uid, count(1)) if uid not in used_uids)
    return {
        index: matched[index].identity
        if index in matched
        else LesionIdentity(next(numbers), next(uids))
        for index in sorted(masks)
    }


def match_lesions(masks: MasksByLesion, known: Sequence[KnownLesion]) -> dict[int, KnownLesion]:
    """Return the known lesion that each of ``masks`` matches, one to one.

    Greedy: the pair with the greatest overlap on a common frame is matched first, and of equal
    ones the pair with the lower numbers.
    """
    pairs = sorted(
        (-iou, lesion.identity.number, index, lesion.identity.tracking_uid, lesion)
        for lesion in known
        for index, iou in _max_iou(masks, lesion).items()
        if iou >= MIN_IOU
    )
    matched: dict[int, KnownLesion] = {}
    for *_, index, _, lesion in pairs:
        if index not in matched and lesion not in matched.values():
            matched[index] = lesion
    return matched


def _max_iou(masks: MasksByLesion, lesion: KnownLesion) -> dict[int, float]:
    """Return the greatest IoU with the known lesion on a common frame, by lesion number."""
    greatest: dict[int, float] = {}
    for frame, contour in lesion.contours.items():
        for index, mask_by_frame in masks.items():
            if frame in mask_by_frame:
                mask = mask_by_frame[frame]
                other = rasterize(contour, mask.shape)
                union = np.count_nonzero(mask | other)
                iou = np.count_nonzero(mask & other) / union if union else 0.0
                greatest[index] = max(greatest.get(index, 0.0), iou)
    return greatest
