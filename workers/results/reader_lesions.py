"""What a reader drew, as lesions that the DICOM builders take: rasterized and measured."""

from collections.abc import Mapping, Sequence
from typing import Final

from db.outlines import ReaderOutline
from db.schema import Analysis, Finding, FindingKind, OutlineOrigin
from dicom.results.model import ImageResult, LesionResult, Origin, StudyResult
from models.outline import enclosed_lesion
from workers.pipeline.study import tracking_id

_ORIGINS: Final[Mapping[OutlineOrigin, Origin]] = {
    OutlineOrigin.CORRECTED: "corrected",
    OutlineOrigin.DRAWN: "drawn",
}


def lesions_left(
    result: StudyResult, analysis: Analysis, outlines: Sequence[ReaderOutline]
) -> dict[str, tuple[LesionResult, ...]]:
    """All lesions of each image with an outline of the reader's, as `SignedReview.outlines`.

    Raises:
        OutlineInvalid: an outline encloses no area; none was signed that does.
    """
    images = {image.sop_instance_uid: image for image in result.images}
    left = {}
    for finding in analysis.findings:
        changed = [each for each in outlines if each.instance_id == finding.instance_id]
        if changed and finding.kind is FindingKind.IMAGE:
            uid = finding.instance.sop_instance_uid
            left[uid] = _left(images[uid], finding, changed)
    return left


def _left(
    image: ImageResult, finding: Finding, outlines: Sequence[ReaderOutline]
) -> tuple[LesionResult, ...]:
    shape = finding.instance.rows, finding.instance.columns
    left = {(lesion.tracking_uid, lesion.frame_number): lesion for lesion in image.lesions}
    for outline in outlines:
        place = outline.tracking_uid, outline.frame_number
        if outline.contour:
            left[place] = _lesion(image, shape, outline)
        else:
            left.pop(place, None)
    return tuple(left.values())


def _lesion(image: ImageResult, shape: tuple[int, int], outline: ReaderOutline) -> LesionResult:
    lesion = enclosed_lesion(outline.contour, shape, image.spacing_mm)
    return LesionResult(
        tracking_uid=outline.tracking_uid,
        tracking_id=tracking_id(outline.number),
        frame_number=outline.frame_number,
        mask=lesion.mask,
        contour=lesion.contour,
        measurements=lesion.measurements,
        label=image.label,
        probabilities=image.probabilities,
        origin=_ORIGINS[outline.origin],
    )
