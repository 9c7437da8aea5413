"""Builds one segmentation for each image with lesions, with one segment for each lesion.

Each object is a series of its own, because viewers show only the last object of a series.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

import numpy as np
from highdicom.color import CIELabColor
from pydicom.dataset import Dataset

from dicom.codes import ABNORMAL_STRUCTURE, LESION
from dicom.errors import InvalidResult
from dicom.results.model import ImageResult, LesionResult, StudyResult, apply_review
from dicom.results.result_kind import BuildInputs, ResultSpec, SignedBuildInputs
from dicom.results.segmentation import (
    CONTENT_REVISION,
    MAX_FRACTIONAL_VALUE,
    FractionalType,
    Plane,
    Segment,
    SegmentAlgorithmType,
    SegmentationContent,
    SegmentationType,
    write_segmentation,
)
from dicom.results.source_image import SourceImage, read_source
from dicom.terms.classification import CLASSES, UNDECIDED
from dicom.uids import derived_uid

EVERY_FRAME: Final = "every-frame"
"""Option: store the frames of a cine without lesions too."""


class Variant(StrEnum):
    """An encoding of the same outlines."""

    OCCUPANCY = "occupancy"
    """A byte for each pixel, 0 or 255 (PS3.3 C.8.20.2.3.2). The default, because many readers
    decode the packed bits of BINARY wrongly (docs/decisions/0005)."""
    BINARY = "binary"
    """A bit for each pixel."""
    FRACTIONAL = "fractional"
    """A byte for each pixel, its probability."""
    LABELMAP = "labelmap"


FIRST_SERIES_NUMBER: Final[Mapping[Variant, int]] = {
    Variant.OCCUPANCY: 9001,
    Variant.BINARY: 9101,
    Variant.FRACTIONAL: 9201,
    Variant.LABELMAP: 9401,
}
_SEGMENTATION_TYPES: Final[Mapping[Variant, SegmentationType]] = {
    Variant.OCCUPANCY: SegmentationType.FRACTIONAL,
    Variant.BINARY: SegmentationType.BINARY,
    Variant.FRACTIONAL: SegmentationType.FRACTIONAL,
    Variant.LABELMAP: SegmentationType.LABELMAP,
}
FIRST_EDITED_SERIES_NUMBER: Final = 9901
SERIES_DESCRIPTION: Final = "AI lesion outlines (UNVERIFIED)"
EDITED_SERIES_DESCRIPTION: Final = "Lesion outlines (VERIFIED)"
COLORS: Final = ((255, 0, 0), (255, 165, 0), (255, 0, 255), (0, 191, 255), (60, 179, 60))
"""RGB of the first lesion, the second one and so on, which repeats: red, orange, magenta, sky blue
and green."""
_ALGORITHM_TYPES: Final = {
    "network": SegmentAlgorithmType.AUTOMATIC,
    "corrected": SegmentAlgorithmType.SEMIAUTOMATIC,
    "drawn": SegmentAlgorithmType.MANUAL,
}


@dataclass(frozen=True)
class _Series:
    """The attributes that differ between an analysis and a signed review."""

    uid_prefix: str
    uid_key: str
    first_number: int
    description: str
    content_description: str
    created_at: datetime
    signed: bool = False
    creator: str = ""


def build_segmentations(inputs: BuildInputs) -> Iterator[Dataset]:
    """Build one segmentation for each analyzed image that has lesions, one at a time.

    `fractional` stores the probability map of each lesion, or its mask as 0 and 1 if it has none.
    In a `labelmap`, the smaller of two overlapping lesions gets the pixel.

    Raises InvalidResult for a mask that is empty or differs in size from its image, and the errors
    of `dicom.images.header.read_header` for a source that cannot be read.
    """
    result = inputs.result
    series = _Series(
        uid_prefix="seg",
        uid_key=result.analysis_id,
        first_number=FIRST_SERIES_NUMBER[Variant(inputs.spec.variant)],
        description=SERIES_DESCRIPTION,
        content_description="Lesions outlined by AI",
        created_at=result.produced_at,
    )
    return _build_each(inputs.spec, result, result.images, series)


def build_edited_segmentations(inputs: SignedBuildInputs) -> Iterator[Dataset]:
    """Build one segmentation for each image whose outlines the reader changed.

    Images without remaining lesions get none, nor does a rejected analysis, whose signed report
    restates no findings. A segmentation contains all lesions of the image under their tracking
    UIDs: AUTOMATIC if unchanged, SEMIAUTOMATIC if corrected, MANUAL if drawn.

    Raises the errors of `build_segmentations`.
    """
    review = inputs.signing.review
    if review.decision == "reject":
        return iter(())
    images = apply_review(inputs.result, review).images
    edited = [image for image in images if image.sop_instance_uid in review.outlines]
    series = _Series(
        uid_prefix="seg-edited",
        uid_key=review.review_id,
        first_number=FIRST_EDITED_SERIES_NUMBER,
        description=EDITED_SERIES_DESCRIPTION,
        content_description="Lesions as the reader left them",
        created_at=review.signed_at,
        signed=True,
        creator=review.reader_name,
    )
    return _build_each(inputs.spec, inputs.result, edited, series)


def _build_each(
    spec: ResultSpec, result: StudyResult, images: Iterable[ImageResult], series: _Series
) -> Iterator[Dataset]:
    every_frame = EVERY_FRAME in spec.options
    stored_frames = EVERY_FRAME if every_frame else "lesion-frames"
    variant = Variant(spec.variant)
    with_lesions = [image for image in images if image.lesions]
    for series_number, image in enumerate(with_lesions, start=series.first_number):
        source = read_source(image.source)
        uid_parts = (
            *(series.uid_key, image.sop_instance_uid, variant, stored_frames),
            CONTENT_REVISION,
        )
        content = SegmentationContent(
            sop_instance_uid=derived_uid(series.uid_prefix, *uid_parts),
            series_instance_uid=derived_uid(f"{series.uid_prefix}-series", *uid_parts),
            series_number=series_number,
            series_description=series.description,
            content_label="LESION",
            content_description=series.content_description,
            segmentation_type=_SEGMENTATION_TYPES[variant],
            fractional_type=FractionalType.OCCUPANCY
            if variant is Variant.OCCUPANCY
            else FractionalType.PROBABILITY,
            segments=_build_segments(image, source, result, variant, series),
            created_at=series.created_at,
            spacing_mm=image.spacing_mm,
            every_frame=every_frame,
            creator=series.creator,
        )
        yield write_segmentation(content, source, result)
        del content  # otherwise its planes stay in memory while the next one is built


def _build_segments(
    image: ImageResult,
    source: SourceImage,
    result: StudyResult,
    variant: Variant,
    series: _Series,
) -> list[Segment]:
    """Return one segment for each tracking UID, in the order in which they first appear."""
    by_tracking_uid: dict[str, list[LesionResult]] = {}
    for lesion in image.lesions:
        _check_lesion(lesion, source)
        by_tracking_uid.setdefault(lesion.tracking_uid, []).append(lesion)
    segments = []
    for index, lesions in enumerate(by_tracking_uid.values()):
        planes = {lesion.frame_number: _to_plane(lesion, variant) for lesion in lesions}
        if len(planes) != len(lesions):
            raise InvalidResult("a lesion is outlined twice on one frame")
        origins = {lesion.origin for lesion in lesions}
        segment = Segment(
            label=_segment_label(lesions, signed=series.signed),
            category=ABNORMAL_STRUCTURE,
            property_type=LESION,
            color=CIELabColor.from_rgb(*COLORS[index % len(COLORS)]),
            planes=planes,
            parameters={"segmenter": f"sha256:{result.algorithm.segmenter_digest}"},
            tracking_uid=lesions[0].tracking_uid,
            tracking_id=lesions[0].tracking_id,
            # outlined by the network on one frame and by the reader on another
            algorithm_type=_ALGORITHM_TYPES[origins.pop()]
            if len(origins) == 1
            else SegmentAlgorithmType.SEMIAUTOMATIC,
        )
        segments.append(segment)
    return segments


def _segment_label(lesions: Sequence[LesionResult], *, signed: bool) -> str:
    """Return the lesion's name, its class or who outlined it, and whether a reader has seen that.

    The class is that of the largest outline, as on the pages and in the PDF. A signed segmentation
    states none: the report has the reader's.
    """
    name, origins = lesions[0].tracking_id, {lesion.origin for lesion in lesions}
    if signed:
        if origins == {"network"}:
            return f"{name}, AI outline kept by reader"
        return f"{name}, drawn by reader" if origins == {"drawn"} else f"{name}, edited by reader"
    largest = max(lesions, key=lambda lesion: lesion.measurements.area_px)
    if largest.undecided:
        return f"{name}, {UNDECIDED}, AI unverified"
    probability = largest.probabilities[CLASSES.index(largest.label)]
    return f"{name}, {largest.label} {100 * probability:.0f} %, AI unverified"


def _check_lesion(lesion: LesionResult, source: SourceImage) -> None:
    if not 1 <= lesion.frame_number <= source.last_frame:
        raise InvalidResult("a lesion is on a frame that no reference can name")
    if lesion.mask.shape != source.shape:
        raise InvalidResult("a mask differs in size from its image")
    if not lesion.mask.any():
        raise InvalidResult("a lesion's mask is empty")
    if lesion.probability is None:
        return
    if lesion.probability.shape != source.shape:
        raise InvalidResult("a probability map differs in size from its image")
    if lesion.probability.dtype != np.uint8:
        raise InvalidResult("a probability map does not hold whole numbers from 0 to 255")


def _to_plane(lesion: LesionResult, variant: Variant) -> Plane:
    mask = lesion.mask.astype(np.uint8)
    if variant in {Variant.BINARY, Variant.LABELMAP}:
        return mask
    if variant is Variant.FRACTIONAL and lesion.probability is not None:
        return lesion.probability
    return mask * np.uint8(MAX_FRACTIONAL_VALUE)
