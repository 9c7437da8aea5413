"""The result of an analysis and its signed review, as plain data, arrays and paths."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dicom.terms.classification import Probabilities
from dicom.terms.lesions import LesionMeasurements, Point


@dataclass(frozen=True)
class RefusalReason:
    """Why an image was not analyzed: a stable code and a readable sentence."""

    code: str
    text: str


LesionOrigin = Literal["network", "corrected", "drawn"]
"""Where an outline comes from: the network, the network and then a reader, or a reader alone."""


@dataclass(frozen=True, eq=False)  # comparing arrays gives an array, not a bool
class LesionResult:
    """One lesion on one frame.

    A lesion that appears on several frames of a cine has one of these for each frame, all with the
    same `tracking_uid`.
    """

    tracking_uid: str
    tracking_id: str
    frame_number: int
    """1-based, as in Referenced Frame Number (0008,1160)."""
    mask: NDArray[np.bool_]
    """(rows, columns) of the image."""
    contour: tuple[Point, ...]
    """(x, y) in pixels, where (0, 0) is the top left corner of the first pixel (PS3.3
    C.18.6.1.2). Open: the first point is not repeated at the end."""
    measurements: LesionMeasurements
    """Of the outline; in mm only when the image is calibrated."""
    label: str
    probabilities: Probabilities
    """`label` and `probabilities` are always the network's. Reports leave them out when the
    outline was corrected or drawn."""
    probability: NDArray[np.uint8] | None = None
    """(rows, columns) of the image: the probability that a pixel belongs to the lesion, scaled to
    0 to 255. None when the network gave only the mask."""
    origin: LesionOrigin = "network"
    undecided: bool = False
    """The confidence is below the threshold: `label` is the most probable class, but no report
    states it. The same holds for images and studies."""


@dataclass(frozen=True)
class ImageResult:
    """The result of one image (a still or a cine)."""

    source: Path
    """The DICOM file as received."""
    sop_instance_uid: str
    tracking_uid: str
    """Identifies the image-level classification."""
    frame_number: int | None
    """1-based; the representative frame of a cine, None for a still."""
    label: str
    probabilities: Probabilities
    lesions: tuple[LesionResult, ...] = ()
    spacing_mm: tuple[float, float] | None = None
    """(row, column) spacing; None when uncalibrated."""
    heatmaps: Mapping[int, NDArray[np.uint8]] = field(
        default_factory=lambda: MappingProxyType({}), compare=False
    )
    """Grad-CAM of the class `label` by 1-based frame: (rows, columns) of the image, where 255 is
    the greatest weight of that frame. A still has frame 1."""
    undecided: bool = False
    averaged_frames: tuple[int, ...] = ()
    """1-based, ascending: the frames of a cine over which `probabilities` are averaged. Empty when
    they apply to the whole image."""


@dataclass(frozen=True)
class ImageRefusal:
    """An image that was not analyzed."""

    source: Path
    """The DICOM file as received."""
    sop_instance_uid: str
    reason: RefusalReason


@dataclass(frozen=True)
class Algorithm:
    """The networks that produced a result. The digests are SHA-256 of the weights, in hex."""

    name: str
    version: str
    classifier_digest: str
    segmenter_digest: str
    device_uid: str
    """Different for each set of weights (Device UID, TID 1004)."""
    confidence_threshold: float = 0.0
    """Results whose confidence is below it are undecided."""


@dataclass(frozen=True)
class ReportReference:
    """A published report, as Predecessor Documents Sequence (0040,A360) references it."""

    study_instance_uid: str
    series_instance_uid: str
    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True)
class StudyResult:
    """One analysis of one study. `label` and `probabilities` are None if all images were refused."""

    analysis_id: str
    images: tuple[ImageResult, ...]
    """The analyzed images."""
    label: str | None
    probabilities: Probabilities | None
    algorithm: Algorithm
    produced_at: datetime
    """Timezone-aware."""
    note: str = ""
    """An additional sentence for the reader, for example that the images show a phantom."""
    undecided: bool = False
    refused_images: tuple[ImageRefusal, ...] = ()


Decision = Literal["accept", "modify", "reject"]


@dataclass(frozen=True)
class SignedReview:
    """One reader's signed judgment of one analysis."""

    review_id: str
    reader_name: str
    """DICOM person name: `Family^Given`."""
    reader_organization: str
    """Not empty: a verified report requires Verifying Organization (0040,A027)."""
    reader_id: str
    """The username, which is unique in this installation and never reassigned."""
    decision: Decision
    final_label: str | None
    """The reader's class, one of CLASSES. None when the reader states none, for example in a
    rejected analysis."""
    birads: str | None
    """The reader's assessment, one of `dicom.terms.birads.BIRADS_CATEGORIES`. None when the reader
    states none."""
    reason: str
    comment: str
    signed_at: datetime
    """Timezone-aware."""
    outlines: Mapping[str, tuple[LesionResult, ...]] = field(
        default_factory=lambda: MappingProxyType({}), compare=False
    )
    """All lesions after the review, by SOP Instance UID of each image whose outlines the reader
    changed; empty for an image whose lesions were all removed. A corrected lesion keeps its
    tracking UID, and a drawn one has a new one."""


def apply_review(result: StudyResult, review: SignedReview) -> StudyResult:
    """Return `result` with the outlines as `review` changed them."""
    images = (
        replace(image, lesions=review.outlines.get(image.sop_instance_uid, image.lesions))
        for image in result.images
    )
    return replace(result, images=tuple(images))
