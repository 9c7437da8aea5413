"""From the classes of frames to that of an image, and from images to the study.

The rules and their reasons are in docs/decisions/0003. Suspicion is ordered by class first
(normal, benign, malignant), then by the probability of malignant, then of benign: an image labeled
malignant always outranks one labeled benign.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from dicom.terms.classification import CLASSES, Classification, Probabilities, suspicion

_AVERAGED_SHARE: Final = 1 / 4
_MIN_AVERAGED_FRAMES: Final = 3
"""The other two outvote one misleading frame."""


def classify(probabilities: Probabilities, confidence_threshold: float = 0.0) -> Classification:
    """Return the most probable class; of equally probable ones the more suspicious."""
    label = max(zip(probabilities, range(len(CLASSES)), CLASSES, strict=True))[2]
    return Classification(label, probabilities, max(probabilities) < confidence_threshold)


def classify_image(
    frames: Sequence[Probabilities], confidence_threshold: float = 0.0
) -> tuple[Classification, int]:
    """Return the class of an image, and the index of the frame that represents it.

    The probabilities are the mean over the most suspicious quarter of the frames, and over at
    least three. The frame of that quarter on which the class is most probable represents the
    image.

    Raises:
        ValueError: there are no frames.
    """
    if not frames:
        raise ValueError("an image without analyzed frames cannot be classified")
    averaged = _most_suspicious(frames)
    normal, benign, malignant = np.mean([frames[i] for i in averaged], axis=0).tolist()
    classification = classify((normal, benign, malignant), confidence_threshold)
    index = CLASSES.index(classification.label)
    return classification, max(averaged, key=lambda i: (frames[i][index], -i))


def find_averaged_frames(frames: Mapping[int, Probabilities]) -> tuple[int, ...]:
    """Return the numbers of the frames that `classify_image` averages, ascending.

    ``frames`` are all classified frames of the image by number.
    """
    numbers = list(frames)
    return tuple(sorted(numbers[i] for i in _most_suspicious(list(frames.values()))))


def _most_suspicious(frames: Sequence[Probabilities]) -> list[int]:
    """Return the indices of the most suspicious quarter, the most suspicious frame first."""
    count = max(_MIN_AVERAGED_FRAMES, math.ceil(len(frames) * _AVERAGED_SHARE))

    def key(index: int) -> tuple[int, float, float]:
        probabilities = frames[index]
        return suspicion(classify(probabilities).label, probabilities)

    return sorted(range(len(frames)), key=key, reverse=True)[:count]


def classify_study(images: Sequence[Classification]) -> Classification | None:
    """Return the class of the most suspicious image, the first of equal ones; None without images.

    An undecided image takes part: a certain benign image must not outvote one that may be
    malignant.
    """
    return max(images, key=lambda image: suspicion(image.label, image.probabilities), default=None)
