"""Outlines that a reader changed, rasterized and measured for the builders of DICOM objects."""

from collections.abc import Mapping, Sequence
from typing import Final

from db.outlines import ReaderOutline
from db.schema import Analysis, Finding, FindingKind, OutlineOrigin
from dicom.results.model import ImageResult, LesionOrigin, LesionResult, StudyResult
from models.outline import enclosed_lesion
from workers.pipeline.study import tracking_id

_ORIGINS: Final[Mapping[OutlineOrigin, LesionOrigin]] = {
    OutlineOrigin.CORRECTED: "corrected",
    OutlineOrigin.DRAWN: "drawn",
}


def build_reviewed_lesions(
    result: StudyResult, analysis: Analysis, outlines: Sequence[ReaderOutline]
) -> dict[str, tuple[LesionResult, ...]]:
    """Return all lesions of each image of which the reader changed an outline.

    They are by SOP Instance UID, as in `SignedReview.outlines`.

    Raises:
        OutlineInvalid: an outline does not enclose one area; such a review cannot be signed.
    """
    images = {image.sop_instance_uid: image for image in result.images}
    reviewed = {}
    for finding in analysis.findings:
        changed = [outline for outline in outlines if outline.instance_id == finding.instance_id]
        if changed and finding.kind is FindingKind.IMAGE:
            uid = finding.instance.sop_instance_uid
            reviewed[uid] = _replace_lesions(images[uid], finding, changed)
    return reviewed


def _replace_lesions(
    image: ImageResult, finding: Finding, outlines: Sequence[ReaderOutline]
) -> tuple[LesionResult, ...]:
    shape = finding.instance.rows, finding.instance.columns
    lesions = {(lesion.tracking_uid, lesion.frame_number): lesion for lesion in image.lesions}
    for outline in outlines:
        key = outline.tracking_uid, outline.frame_number
        if not outline.contour:
            lesions.pop(key, None)
            continue
        drawn = enclosed_lesion(outline.contour, shape, image.spacing_mm)
        lesions[key] = LesionResult(
            tracking_uid=outline.tracking_uid,
            tracking_id=tracking_id(outline.number),
            frame_number=outline.frame_number,
            mask=drawn.mask,
            contour=drawn.contour,
            measurements=drawn.measurements,
            label=image.label,
            probabilities=image.probabilities,
            origin=_ORIGINS[outline.origin],
        )
    return tuple(lesions.values())
