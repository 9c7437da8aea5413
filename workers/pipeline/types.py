"""What the pipeline says of frames, images and studies."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dicom.images.header import InstanceHeader
from dicom.images.regions import BModeRegion
from dicom.results.model import RefusalReason
from dicom.terms.classification import Probabilities
from models.measure import LesionOutline
from models.types import FramePrediction, PresetInfo

Frame = NDArray[np.uint8]
"""(rows, columns) gray or (rows, columns, 3) RGB."""


class FramePredictor(Protocol):
    """What the pipeline needs of `models.predictor.Predictor`."""

    info: PresetInfo

    def predict(self, frames: Sequence[Frame], *, batch_size: int = 8) -> list[FramePrediction]: ...


@dataclass(frozen=True, eq=False)
class FoundLesion:
    """One lesion on one frame; its class is the frame's, for the network classifies frames.

    ``number`` counts the lesions of the image from 1. On other frames of a cine the same lesion
    has the same number and tracking UID.
    """

    number: int
    tracking_uid: str
    frame_number: int
    outline: LesionOutline
    """In pixels of the whole frame."""
    label: str
    probabilities: Probabilities
    undecided: bool = False


@dataclass(frozen=True, eq=False)
class FrameAnalysis:
    """One frame; ``mask`` and ``heatmap`` have the frame's size, whatever part was looked at.

    ``mask`` is the union of ``lesions``. ``heatmap`` is Grad-CAM for ``label``, 0 to 255.
    ``lesion_probability``, 0 to 255, is how surely a pixel is one of ``lesions``; None when there
    are none, and from a network that says no more than the mask.
    """

    frame_number: int
    """1-based."""
    probabilities: Probabilities
    label: str
    mask: NDArray[np.bool_]
    heatmap: NDArray[np.uint8]
    lesions: tuple[FoundLesion, ...] = ()
    lesion_probability: NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class FrameRefusal:
    """One frame that was not analyzed, while its image was."""

    frame_number: int
    refusal: RefusalReason


@dataclass(frozen=True, eq=False)
class ImageAnalysis:
    """One still or cine. Either refused, with the reason, or analyzed in at least one frame.

    ``label`` is the most probable class; where the image is ``undecided`` nobody asserts it.
    """

    source: Path
    header: InstanceHeader | None
    """None for a picture that is not DICOM."""
    tracking_uid: str
    """Of what is said of the image as a whole."""
    shape: tuple[int, int]
    """(rows, columns); (0, 0) when that is not known."""
    region: BModeRegion | None = None
    frames: tuple[FrameAnalysis, ...] = ()
    probabilities: Probabilities | None = None
    label: str | None = None
    frame_number: int | None = None
    """1-based; the frame that speaks for the image."""
    refused_frames: tuple[FrameRefusal, ...] = ()
    refusal: RefusalReason | None = None
    undecided: bool = False

    @property
    def asserted_class(self) -> str | None:
        """The class that the preset commits itself to."""
        return None if self.undecided else self.label

    @property
    def lesions(self) -> tuple[FoundLesion, ...]:
        """On all frames, in their order."""
        return tuple(lesion for frame in self.frames for lesion in frame.lesions)

    @property
    def outlines(self) -> dict[int, dict[int, NDArray[np.bool_]]]:
        """By number of the lesion, its mask on each 1-based frame."""
        outlines: dict[int, dict[int, NDArray[np.bool_]]] = {}
        for lesion in self.lesions:
            outlines.setdefault(lesion.number, {})[lesion.frame_number] = lesion.outline.mask
        return outlines

    @property
    def representative(self) -> FrameAnalysis | None:
        """The frame that speaks for the image; None when it was refused."""
        return next((f for f in self.frames if f.frame_number == self.frame_number), None)


@dataclass(frozen=True)
class StudyAnalysis:
    """All images of a study; no label when none of them could be analyzed."""

    images: tuple[ImageAnalysis, ...]
    probabilities: Probabilities | None
    label: str | None
    undecided: bool = False
