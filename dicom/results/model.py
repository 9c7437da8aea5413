"""What an analysis says about a study, before any of it is DICOM. Plain data, arrays and paths."""

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
    """Why an image was not analyzed: a stable code and a sentence for people."""

    code: str
    text: str


LesionOrigin = Literal["network", "corrected", "drawn"]
"""Whose an outline is: the network's, the network's as a reader changed it, a reader's own."""


@dataclass(frozen=True, eq=False)  # arrays have no equality that is true or false
class LesionResult:
    """One lesion on one frame.

    The same lesion on several frames of a cine is several of these with one `tracking_uid`.
    Lengths are of the lesion's outline; the mm values are None when the image is not calibrated.
    """

    tracking_uid: str
    tracking_id: str
    frame_number: int
    """1-based, as in Referenced Frame Number (0008,1160)."""
    mask: NDArray[np.bool_]
    """(rows, columns) of the image."""
    contour: tuple[Point, ...]
    """(x, y) in pixels, (0, 0) the top left corner of the first one (PS3.3 C.18.6.1.2); open: the
    last point is not the first again."""
    measurements: LesionMeasurements
    label: str
    probabilities: Probabilities
    """`label` and `probabilities` are the network's: no report repeats them beside an outline
    that is not."""
    probability: NDArray[np.uint8] | None = None
    """(rows, columns) of the image: how surely a pixel is this lesion's, 255 where it is certain;
    None when the network gave no more than the mask."""
    origin: LesionOrigin = "network"
    undecided: bool = False
    """`label` is then only the most probable class, and no report asserts it. So it is in images
    and studies."""


@dataclass(frozen=True)
class ImageResult:
    """The result of one image (a still or a cine)."""

    source: Path
    """The DICOM file as received."""
    sop_instance_uid: str
    tracking_uid: str
    """Of the image-level classification."""
    frame_number: int | None
    """1-based; the frame of a cine that speaks for it, None for a still."""
    label: str
    probabilities: Probabilities
    lesions: tuple[LesionResult, ...] = ()
    spacing_mm: tuple[float, float] | None = None
    """(row, column) spacing; None when uncalibrated."""
    heatmaps: Mapping[int, NDArray[np.uint8]] = field(
        default_factory=lambda: MappingProxyType({}), compare=False
    )
    """Grad-CAM of the class `label` by 1-based frame: (rows, columns) of the image, 255 the
    greatest weight of that frame. A still has frame 1."""
    undecided: bool = False
    averaged_frames: tuple[int, ...] = ()
    """1-based, ascending; the frames of a cine that `probabilities` are the mean of, none where
    they are the whole image's."""


@dataclass(frozen=True)
class ImageRefusal:
    """An image that was not analyzed."""

    source: Path
    """The DICOM file as received."""
    sop_instance_uid: str
    reason: RefusalReason


@dataclass(frozen=True)
class Algorithm:
    """What produced the result. The digests are SHA-256 of the weights, in hex."""

    name: str
    version: str
    classifier_digest: str
    segmenter_digest: str
    device_uid: str
    """A new one for each set of weights (Device UID, TID 1004)."""
    confidence_threshold: float = 0.0
    """A class that is less probable is not asserted: the result is undecided then."""


@dataclass(frozen=True)
class ReportReference:
    """An SR sent before, as Predecessor Documents Sequence (0040,A360) needs it."""

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
    """Aware; written in its own offset."""
    note: str = ""
    """One more sentence for the reader, for instance that the images are phantoms."""
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
    """Never empty: no report can be verified without (0040,A027)."""
    reader_id: str
    """Who that is in this installation, for ever and for nobody else: the username."""
    decision: Decision
    final_label: str | None
    """One of CLASSES: the reader's word, which may repeat the network's; None when the reader
    gives none, as with a rejected analysis."""
    birads: str | None
    """One of `dicom.terms.birads.BIRADS_CATEGORIES`, the reader's assessment; None when not given."""
    reason: str
    comment: str
    signed_at: datetime
    """Aware."""
    outlines: Mapping[str, tuple[LesionResult, ...]] = field(
        default_factory=lambda: MappingProxyType({}), compare=False
    )
    """By SOP Instance UID of the images whose outlines the reader changed: all lesions of the
    image as the reader leaves them, none when all were removed. A lesion keeps its tracking UID;
    one that the reader drew has a new one."""


def apply_review(result: StudyResult, review: SignedReview) -> StudyResult:
    """Return `result` with the outlines that `review` leaves."""
    images = (
        replace(image, lesions=review.outlines.get(image.sop_instance_uid, image.lesions))
        for image in result.images
    )
    return replace(result, images=tuple(images))
