"""From frames to an image and from images to a study (docs/decisions/0003).

Suspicion is ordered by class first (normal, benign, malignant), then by the probability of
malignant, then of benign: an image labelled malignant always outranks one labelled benign.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from dicom.results import CLASSES, Probabilities

NORMAL: Final = CLASSES[0]
_SHARE: Final = 1 / 4
_AT_LEAST: Final = 3
"""One odd frame among three is outvoted."""


@dataclass(frozen=True)
class Verdict:
    """Probabilities, their label, and the index of the frame or image that speaks for them."""

    probabilities: Probabilities
    label: str
    representative: int


def label_of(probabilities: Probabilities) -> str:
    """The class with the highest probability; of equal ones the more suspicious."""
    return max(zip(probabilities, range(len(CLASSES)), CLASSES, strict=True))[2]


def image_verdict(frames: Sequence[Probabilities]) -> Verdict:
    """The mean over the most suspicious quarter of the frames, and at least over three.

    A still has one frame and is that frame. In a cine most frames may show normal tissue beside
    the lesion, so the mean of all would miss it; the most suspicious frame alone would let one odd
    frame decide. Raises ValueError without frames.
    """
    if not frames:
        raise ValueError("an image without an analysed frame has no verdict")
    count = max(_AT_LEAST, math.ceil(len(frames) * _SHARE))
    quarter = sorted(range(len(frames)), key=lambda i: _suspicion(frames[i]), reverse=True)[:count]
    normal, benign, malignant = np.mean([frames[i] for i in quarter], axis=0).tolist()
    label = label_of((normal, benign, malignant))
    speaker = max(quarter, key=lambda i: (frames[i][CLASSES.index(label)], -i))
    return Verdict((normal, benign, malignant), label, speaker)


def study_verdict(images: Sequence[Probabilities]) -> Verdict | None:
    """The most suspicious image, the first of equal ones; None without images."""
    if not images:
        return None
    index = max(range(len(images)), key=lambda i: (_suspicion(images[i]), -i))
    return Verdict(images[index], label_of(images[index]), index)


def _suspicion(probabilities: Probabilities) -> tuple[int, float, float]:
    _, benign, malignant = probabilities
    return CLASSES.index(label_of(probabilities)), malignant, benign
