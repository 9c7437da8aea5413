"""Results of the pipeline for frames, images and studies."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dicom.images.header import InstanceHeader
from dicom.images.regions import BModeRegion
from dicom.results.model import RefusalReason
from dicom.terms.classification import Classification
from models.measure import LesionOutline
from models.types import FramePrediction, PresetInfo

Frame = NDArray[np.uint8]
"""(rows, columns) gray or (rows, columns, 3) RGB."""


class FramePredictor(Protocol):
    """The part of `models.predictor.Predictor` that the pipeline uses."""

    info: PresetInfo

    def predict(self, frames: Sequence[Frame], *, batch_size: int = 8) -> list[FramePrediction]: ...


@dataclass(frozen=True, eq=False)
class FrameLesion:
    """One lesion on one frame.

    ``number`` counts the lesions of the image from 1. The same lesion has the same number and
    tracking UID on all frames of a cine.
    """

    number: int
    tracking_uid: str
    frame_number: int
    outline: LesionOutline
    """In pixels of the whole frame."""
    classification: Classification
    """Of the frame: the networks classify frames, not lesions."""


@dataclass(frozen=True, eq=False)
class FrameAnalysis:
    """One frame that was analyzed. All arrays have the size of the whole frame."""

    frame_number: int
    """From 1."""
    classification: Classification
    mask: NDArray[np.bool_]
    """The union of ``lesions``."""
    heatmap: NDArray[np.uint8]
    """Grad-CAM of the most probable class, 0 to 255."""
    lesions: tuple[FrameLesion, ...] = ()
    lesion_probability: NDArray[np.uint8] | None = None
    """Probability that a pixel belongs to one of ``lesions``, 0 to 255. None without lesions, and
    if the network returns no more than a mask."""


@dataclass(frozen=True)
class FrameRefusal:
    """One frame that was refused."""

    frame_number: int
    """From 1."""
    reason: RefusalReason


@dataclass(frozen=True, eq=False)
class AnalyzedImage:
    """A still or cine of which at least one frame was analyzed."""

    source: Path
    header: InstanceHeader | None
    """None for a file that is not DICOM."""
    tracking_uid: str
    """Of the image's classification."""
    shape: tuple[int, int]
    """(rows, columns)."""
    region: BModeRegion
    frames: tuple[FrameAnalysis, ...]
    classification: Classification
    representative: FrameAnalysis
    """The frame on which the image's class is most probable."""
    refused_frames: tuple[FrameRefusal, ...] = ()

    @property
    def lesions(self) -> tuple[FrameLesion, ...]:
        """On all frames, in their order."""
        return tuple(lesion for frame in self.frames for lesion in frame.lesions)

    @property
    def masks_by_lesion(self) -> dict[int, dict[int, NDArray[np.bool_]]]:
        """The masks of each lesion by its number and the number of the frame."""
        masks: dict[int, dict[int, NDArray[np.bool_]]] = {}
        for lesion in self.lesions:
            masks.setdefault(lesion.number, {})[lesion.frame_number] = lesion.outline.mask
        return masks


@dataclass(frozen=True)
class RefusedImage:
    """A still or cine of which no frame was analyzed."""

    source: Path
    header: InstanceHeader | None
    """None for a file that is not DICOM, or cannot be read."""
    reason: RefusalReason
    refused_frames: tuple[FrameRefusal, ...] = ()


ImageAnalysis = AnalyzedImage | RefusedImage
