"""Predictions of the networks, and errors of this package."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dicom.terms.classification import CLASSES, Probabilities


@dataclass(frozen=True)
class FramePrediction:
    """The networks' output for one frame of ``h`` rows and ``w`` columns.

    ``probabilities`` are in the order of `CLASSES` and sum to 1. ``mask`` is ``(h, w)``, true on
    lesion pixels. ``heatmap`` is ``(h, w)`` in 0..1, the Grad-CAM of the predicted class
    (`models.gradcam`); its maximum is about 1, or 0 if no pixel contributes to that class.
    ``lesion_probability`` is ``(h, w)`` in 0..255, and 0 around patches that ``mask`` leaves out;
    None if the network returns a mask only.
    """

    probabilities: Probabilities
    mask: NDArray[np.bool_]
    heatmap: NDArray[np.float32]
    lesion_probability: NDArray[np.uint8] | None = None

    @property
    def label(self) -> str:
        """The most probable class."""
        return CLASSES[self.probabilities.index(max(self.probabilities))]


@dataclass(frozen=True)
class PresetInfo:
    """Identifies a preset. Digests are SHA-256 of the weight files, in hex.

    They are equal if one network both classifies and outlines. A result is undecided if the
    probability of its most probable class is below ``confidence_threshold``.
    """

    name: str
    version: str
    classifier_digest: str
    segmenter_digest: str
    confidence_threshold: float = 0.0


class ModelError(Exception):
    """Base of the errors of this package. ``permanent``: a retry cannot succeed."""

    def __init__(self, message: str, *, permanent: bool = True) -> None:
        super().__init__(message)
        self.permanent = permanent


class PresetCorrupt(ModelError):
    """Raised when a file of a preset is missing, unreadable or does not match its digest."""

    def __init__(self, file: str, problem: str) -> None:
        super().__init__(
            f"preset file {file}: {problem}; restore it from the release or reinstall Sonogate"
        )
        self.file = file


class FrameUnusable(ModelError):
    """Raised for a frame whose shape or pixel type the networks do not accept."""


class DatasetError(ModelError):
    """Raised when a folder cannot be read as training data."""
