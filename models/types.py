"""What the network says about one frame, and what can go wrong saying it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dicom.terms.classification import CLASSES, Probabilities


@dataclass(frozen=True)
class FramePrediction:
    """The network's raw answer for one frame of ``h`` rows and ``w`` columns.

    ``probabilities`` follow the order of `CLASSES` and sum to 1. ``mask`` is ``(h, w)``, true on
    lesion pixels. ``heatmap`` is ``(h, w)`` in 0..1: what spoke for the predicted class at
    each place (`models.gradcam`), its highest value about 1, or 0 where nothing did.
    ``lesion_probability`` is ``(h, w)``, 255 where a pixel is certainly a lesion's, and 0 around
    patches that ``mask`` leaves out; None from a network that says no more than the mask.
    """

    probabilities: Probabilities
    mask: NDArray[np.bool_]
    heatmap: NDArray[np.float32]
    lesion_probability: NDArray[np.uint8] | None = None

    @property
    def label(self) -> str:
        """The class with the highest probability."""
        return CLASSES[self.probabilities.index(max(self.probabilities))]


@dataclass(frozen=True)
class PresetInfo:
    """Names what answers; digests are SHA-256 of weight files, in hex.

    They are equal where one network both classifies and outlines. A class whose probability is
    below ``confidence_threshold`` is not asserted: the answer is undecided then.
    """

    name: str
    version: str
    classifier_digest: str
    segmenter_digest: str
    confidence_threshold: float = 0.0


class ModelError(Exception):
    """Base of what this package raises. ``permanent``: trying again cannot help."""

    def __init__(self, message: str, *, permanent: bool = True) -> None:
        super().__init__(message)
        self.permanent = permanent


class PresetCorrupt(ModelError):
    """A preset's file is missing, unreadable or not the one its digest was taken from."""

    def __init__(self, file: str, problem: str) -> None:
        super().__init__(
            f"preset file {file}: {problem}; restore it from the release or reinstall Sonogate"
        )
        self.file = file


class FrameUnusable(ModelError):
    """A frame whose shape or pixel type the network cannot take."""


class DatasetError(ModelError):
    """A training data folder that cannot be read as one."""
