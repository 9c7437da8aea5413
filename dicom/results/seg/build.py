"""Lesions as segmentations: one object for each image with lesions, one segment for each lesion.

Each object is a series of its own, because viewers show the last object of a series only.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
from highdicom.color import CIELabColor
from pydicom.dataset import Dataset

from dicom.codes import ABNORMAL_STRUCTURE, LESION
from dicom.errors import InvalidResult
from dicom.results.model import (
    Algorithm,
    ImageResult,
    LesionResult,
    SignedReview,
    StudyResult,
    as_reviewed,
)
from dicom.results.segmentation import (
    FULL,
    Encoding,
    Origin,
    Plan,
    Plane,
    Segment,
    write_segmentation,
)
from dicom.results.source_image import SourceImage, read_source
from dicom.uids import derived_uid

FIRST_SERIES_NUMBER: Final[Mapping[Encoding, int]] = {
    Encoding.BINARY: 9001,
    Encoding.FRACTIONAL: 9201,
    Encoding.LABELMAP: 9401,
}
FIRST_EDITED_SERIES_NUMBER: Final = 9901
SERIES_DESCRIPTION: Final = "AI lesion outlines (UNVERIFIED)"
EDITED_SERIES_DESCRIPTION: Final = "Lesion outlines (VERIFIED)"
_COLORS: Final = (
    CIELabColor(53.2, 80.1, 67.2),
    CIELabColor(74.9, 23.9, 78.9),
    CIELabColor(60.3, 98.2, -60.8),
    CIELabColor(79.2, -40.9, -24.6),
    CIELabColor(62.4, -42.0, 52.0),
)
"""Red, orange, magenta, sky and green: apart from one another, and none of them gray."""
_ORIGINS: Final = {
    "network": Origin.AUTOMATIC,
    "corrected": Origin.SEMIAUTOMATIC,
    "drawn": Origin.MANUAL,
}


@dataclass(frozen=True)
class Form:
    """How the lesions are stored."""

    encoding: Encoding = Encoding.BINARY
    """FRACTIONAL stores each lesion's probability, or its mask as 0 and 1 where there is none.
    In a LABELMAP a pixel of two lesions is the smaller one's."""
    every_frame: bool = False
    """Store also those frames of a cine that show no lesion."""

    @property
    def parts(self) -> tuple[str, ...]:
        """What makes its UIDs other than those of another form."""
        return self.encoding, "every-frame" if self.every_frame else "lesion-frames"


PLAIN: Final = Form()


@dataclass(frozen=True)
class _Occasion:
    """What the segmentations are made for: an analysis, or a signed review."""

    kind: str
    key: str
    first_series_number: int
    series_description: str
    content_description: str
    moment: datetime
    creator: str = ""


def build_segmentations(result: StudyResult, form: Form = PLAIN) -> list[Dataset]:
    """Return what `make_segmentations` makes."""
    return list(make_segmentations(result, form))


def make_segmentations(result: StudyResult, form: Form = PLAIN) -> Iterator[Dataset]:
    """Make one segmentation for each image of `result` that has lesions, one at a time.

    The UIDs follow from analysis, image and form: building again makes the same objects.
    Raises InvalidResult for a mask that is empty or not of its image's size, and what
    `dicom.images.header.read_header` raises for a source that cannot be read.
    """
    occasion = _Occasion(
        "seg",
        result.analysis_id,
        FIRST_SERIES_NUMBER[form.encoding],
        SERIES_DESCRIPTION,
        "Lesions outlined by AI",
        result.produced_at,
    )
    return _make_each(result, result.images, form, occasion)


def build_edited_segmentations(
    result: StudyResult, review: SignedReview, form: Form = PLAIN
) -> list[Dataset]:
    """Return what `make_edited_segmentations` makes."""
    return list(make_edited_segmentations(result, review, form))


def make_edited_segmentations(
    result: StudyResult, review: SignedReview, form: Form = PLAIN
) -> Iterator[Dataset]:
    """Make one segmentation for each image whose outlines the reader changed and left some; none
    for a rejected analysis, which the reader's report restates nothing of.

    It holds all lesions of the image under their tracking UIDs: AUTOMATIC those left as they
    were, SEMIAUTOMATIC the corrected, MANUAL the drawn ones. The UIDs follow from the review.

    Raises as `make_segmentations`.
    """
    reviewed = as_reviewed(result, review).images if review.decision != "reject" else ()
    edited = [image for image in reviewed if image.sop_instance_uid in review.outlines]
    occasion = _Occasion(
        "seg-edited",
        review.review_id,
        FIRST_EDITED_SERIES_NUMBER,
        EDITED_SERIES_DESCRIPTION,
        "Lesions as the reader left them",
        review.signed_at,
        review.reader_name,
    )
    return _make_each(result, edited, form, occasion)


def in_force(
    published: Iterable[Dataset], edited: Iterable[Dataset], review: SignedReview
) -> list[Dataset]:
    """Return the segmentations that hold after `review`: those `edited`, and of the `published`
    ones those of images that the reader left alone.
    """
    untouched = [one for one in published if image_of(one) not in review.outlines]
    return [*untouched, *edited]


def image_of(segmentation: Dataset) -> str:
    """Return the SOP Instance UID of the image that `segmentation` is of."""
    series = segmentation.ReferencedSeriesSequence[0]
    return str(series.ReferencedInstanceSequence[0].ReferencedSOPInstanceUID)


def _make_each(
    result: StudyResult, images: Iterable[ImageResult], form: Form, occasion: _Occasion
) -> Iterator[Dataset]:
    outlined = [image for image in images if image.lesions]
    for index, image in enumerate(outlined):
        yield _build(result, image, form, occasion, index)


def _build(
    result: StudyResult, image: ImageResult, form: Form, occasion: _Occasion, index: int
) -> Dataset:
    source = read_source(image.source)
    lesions = _by_tracking_uid(image)
    _check(lesions.values(), source)
    parts = occasion.key, image.sop_instance_uid, *form.parts
    plan = Plan(
        sop_instance_uid=derived_uid(occasion.kind, *parts),
        series_instance_uid=derived_uid(f"{occasion.kind}-series", *parts),
        series_number=occasion.first_series_number + index,
        series_description=occasion.series_description,
        content_label="LESION",
        content_description=occasion.content_description,
        encoding=form.encoding,
        segments=[
            _segment(number, shown, result.algorithm, form.encoding)
            for number, shown in enumerate(lesions.values())
        ],
        moment=occasion.moment,
        every_frame=form.every_frame,
        creator=occasion.creator,
    )
    return write_segmentation(plan, source, result)


def _by_tracking_uid(image: ImageResult) -> dict[str, list[LesionResult]]:
    """Group the lesions, in the order in which their UIDs first appear."""
    by_uid: dict[str, list[LesionResult]] = {}
    for lesion in image.lesions:
        by_uid.setdefault(lesion.tracking_uid, []).append(lesion)
    return by_uid


def _check(lesions: Iterable[Sequence[LesionResult]], source: SourceImage) -> None:
    for shown in lesions:
        frames = [lesion.frame_number for lesion in shown]
        if len(set(frames)) != len(frames):
            raise InvalidResult("a lesion is outlined twice on one frame")
        if not all(1 <= frame <= source.last_frame for frame in frames):
            raise InvalidResult("a lesion is on a frame that no reference can name")
        for lesion in shown:
            _check_pixels(lesion, source.shape)


def _check_pixels(lesion: LesionResult, shape: tuple[int, int]) -> None:
    if lesion.mask.shape != shape:
        raise InvalidResult("a mask is not of its image's size")
    if not lesion.mask.any():
        raise InvalidResult("a lesion's mask is empty")
    probability = lesion.probability
    if probability is None:
        return
    if probability.shape != shape:
        raise InvalidResult("a probability map is not of its image's size")
    if probability.dtype != np.uint8:
        raise InvalidResult("a probability map does not hold whole numbers from 0 to 255")


def _segment(
    index: int, shown: Sequence[LesionResult], algorithm: Algorithm, encoding: Encoding
) -> Segment:
    origins = {lesion.origin for lesion in shown}
    return Segment(
        label=shown[0].tracking_id,
        category=ABNORMAL_STRUCTURE,
        kind=LESION,
        color=_COLORS[index % len(_COLORS)],
        planes={lesion.frame_number: _plane(lesion, encoding) for lesion in shown},
        parameters={"segmenter": f"sha256:{algorithm.segmenter_digest}"},
        tracking_uid=shown[0].tracking_uid,
        # a segment that is the reader's on one frame is no longer the network's as a whole
        origin=_ORIGINS[origins.pop()] if len(origins) == 1 else Origin.SEMIAUTOMATIC,
    )


def _plane(lesion: LesionResult, encoding: Encoding) -> Plane:
    mask = lesion.mask.astype(np.uint8)
    if encoding is not Encoding.FRACTIONAL:
        return mask
    return mask * np.uint8(FULL) if lesion.probability is None else lesion.probability
