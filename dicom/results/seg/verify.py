"""Verifies segmentations of lesions. See `dicom.results.verify`."""

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dicom.errors import ReadBackMismatch
from dicom.results.model import ImageResult, LesionResult, SignedReview, StudyResult, apply_review
from dicom.results.segmentation_reader import ReadSegmentation, read_back_segmentation
from dicom.results.verify import find_image

_CERTAIN: Final = 255
"""All of a pixel, or probability 1, in a FRACTIONAL segmentation."""


def verify_segmentation(path: Path, result: StudyResult) -> ReadSegmentation:
    """Read `path`. Raises ReadBackMismatch unless its pixels are those of the lesions of its image.

    A FRACTIONAL segmentation of type PROBABILITY must contain their probabilities, one of type
    OCCUPANCY 0 and 255. Where lesions overlap in a LABELMAP, the smallest one must have the pixel,
    or the first of those of equal size.
    """
    segmentation = read_back_segmentation(path)
    image = find_image(segmentation.source_sop_instance_uid, result)
    planes = {
        (segment.tracking_uid, frame): plane
        for segment in segmentation.segments
        for frame, plane in segment.planes.items()
    }
    expected = {
        (lesion.tracking_uid, lesion.frame_number): _expected_plane(lesion, image, segmentation)
        for lesion in image.lesions
    }
    if expected.keys() - planes.keys():
        raise ReadBackMismatch("the segmentation lacks a lesion or a frame")
    for key, plane in planes.items():
        if key not in expected:
            if plane.any():
                raise ReadBackMismatch("the segmentation holds other lesions or frames")
        elif not np.array_equal(plane, expected[key]):
            raise ReadBackMismatch("a lesion's pixels differ")
    return segmentation


def verify_edited_segmentation(
    path: Path, result: StudyResult, review: SignedReview
) -> ReadSegmentation:
    """Verify a segmentation of the lesions as `review` changed them. Raises ReadBackMismatch."""
    return verify_segmentation(path, apply_review(result, review))


def _expected_plane(
    lesion: LesionResult, image: ImageResult, segmentation: ReadSegmentation
) -> NDArray[np.generic]:
    if segmentation.segmentation_type == "FRACTIONAL":
        if segmentation.fractional_type == "PROBABILITY" and lesion.probability is not None:
            return lesion.probability
        return lesion.mask * np.uint8(_CERTAIN)
    if segmentation.segmentation_type == "BINARY":
        return lesion.mask
    order = list(dict.fromkeys(other.tracking_uid for other in image.lesions))

    def rank(ranked: LesionResult) -> tuple[int, int]:
        return int(ranked.mask.sum()), order.index(ranked.tracking_uid)

    visible = lesion.mask.copy()
    for other in image.lesions:
        if other.frame_number == lesion.frame_number and rank(other) < rank(lesion):
            visible &= ~other.mask
    return visible
