"""From frames to an image and from images to a study (docs/decisions/0003).

Suspicion is ordered by class first (normal, benign, malignant), then by the probability of
malignant, then of benign: an image labeled malignant always outranks one labeled benign.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from dicom.terms.classification import CLASSES, Probabilities

_SHARE: Final = 1 / 4
_AT_LEAST: Final = 3
"""One odd frame among three is outvoted."""


@dataclass(frozen=True)
class Verdict:
    """Probabilities, the most probable class, and the index of the frame or image that speaks for
    them. ``undecided``: the preset does not commit itself to that class.
    """

    probabilities: Probabilities
    label: str
    representative: int
    undecided: bool = False

    @property
    def asserted_class(self) -> str | None:
        return None if self.undecided else self.label


def label_of(probabilities: Probabilities) -> str:
    """The class with the highest probability; of equal ones the more suspicious."""
    return max(zip(probabilities, range(len(CLASSES)), CLASSES, strict=True))[2]


def is_undecided(probabilities: Probabilities, confidence_threshold: float) -> bool:
    """Whether no class is probable enough to be asserted."""
    return max(probabilities) < confidence_threshold


def image_verdict(frames: Sequence[Probabilities], confidence_threshold: float = 0.0) -> Verdict:
    """The mean over the most suspicious quarter of the frames, and at least over three.

    A still has one frame and is that frame. In a cine most frames may show normal tissue beside
    the lesion, so the mean of all would miss it; the most suspicious frame alone would let one odd
    frame decide. Raises ValueError without frames.
    """
    if not frames:
        raise ValueError("an image without an analyzed frame has no verdict")
    quarter = _most_suspicious(frames)
    normal, benign, malignant = np.mean([frames[i] for i in quarter], axis=0).tolist()
    mean = normal, benign, malignant
    label = label_of(mean)
    speaker = max(quarter, key=lambda i: (frames[i][CLASSES.index(label)], -i))
    return Verdict(mean, label, speaker, is_undecided(mean, confidence_threshold))


def averaged_frames(frames: Mapping[int, Probabilities]) -> tuple[int, ...]:
    """Which of an image's classified frames, by their numbers, `image_verdict` takes the mean of;
    ascending.
    """
    numbers = list(frames)
    return tuple(sorted(numbers[i] for i in _most_suspicious(list(frames.values()))))


def _most_suspicious(frames: Sequence[Probabilities]) -> list[int]:
    """The indices of the quarter, the most suspicious first and the first of equal ones."""
    count = max(_AT_LEAST, math.ceil(len(frames) * _SHARE))
    return sorted(range(len(frames)), key=lambda i: _suspicion(frames[i]), reverse=True)[:count]


def study_verdict(
    images: Sequence[Probabilities], confidence_threshold: float = 0.0
) -> Verdict | None:
    """The most suspicious image, the first of equal ones; None without images.

    It speaks for the study though it be undecided: a doubt about malignancy is not outvoted by a
    sure benign image.
    """
    if not images:
        return None
    index = max(range(len(images)), key=lambda i: (_suspicion(images[i]), -i))
    said = images[index]
    return Verdict(said, label_of(said), index, is_undecided(said, confidence_threshold))


def _suspicion(probabilities: Probabilities) -> tuple[int, float, float]:
    _, benign, malignant = probabilities
    return CLASSES.index(label_of(probabilities)), malignant, benign
