"""The sentences that viewers show beside a region (Comment, 121106 DCM, of a measurement group).

OHIF has no other place for the class of a lesion, an image or a study: its measurement panel lists
regions, each with its comment as label.
"""

from typing import Final

from dicom.results.model import ImageResult, LesionResult, RefusalReason, SignedReview, StudyResult
from dicom.terms.classification import CLASSES, UNDECIDED, format_probability

_UNVERIFIED: Final = "AI, unverified"
_OUTLINED: Final = {
    "network": "outlined by AI",
    "corrected": "outline corrected by the reader",
    "drawn": "outlined by the reader",
}


def label_lesion(lesion: LesionResult, review: SignedReview | None) -> str:
    """Return the class of the networks unless a reader changed it, who outlined the lesion, and its
    axes and area in mm: OHIF's own area of outlines on calibrated ultrasound images is wrong.
    """
    if lesion.origin != "network" or (review is not None and review.decision == "modify"):
        said = _OUTLINED[lesion.origin]
    elif review is None:
        said = f"{_classification(lesion)} ({_UNVERIFIED})"
    else:
        said = f"{_classification(lesion)} (AI, accepted by the reader)"
    size = lesion.measurements.size_mm
    if size:
        axes = f"{size.long_axis_mm:.1f} x {size.short_axis_mm:.1f} mm"
        said = f"{said}, {axes}, {size.area_mm2:.1f} mm²"
    return f"{lesion.tracking_id}: {said}"


def label_image(
    image: ImageResult, result: StudyResult, review: SignedReview | None, *, cine: bool
) -> str:
    """Return the classes of the image and of the study."""
    name = "Cine" if cine else "Image"
    if review is None:
        return f"{name}: {_classification(image)}; study: {_classification(result)} ({_UNVERIFIED})"
    if review.decision == "accept":
        return f"{name}: {_classification(image)} (AI, accepted); {label_review(review)}"
    return label_review(review)


def label_review(review: SignedReview) -> str:
    """Return the reader's class and BI-RADS category, and the decision if it is a rejection."""
    said = [review.final_label] if review.final_label else []
    if review.birads is not None:
        said.append(f"BI-RADS {review.birads}")
    if review.decision == "reject":
        said.append("AI result rejected")
    return f"Study: {', '.join([*said, f'signed by {_full_name(review.reader_name)}'])}"


def label_refusal(reason: RefusalReason, review: SignedReview | None) -> str:
    """Return why the image was not analyzed, and what the reader said of the study."""
    label = f"Not analyzed: {reason.text}"
    return f"{label} {label_review(review)}" if review else label


def _classification(classified: ImageResult | LesionResult | StudyResult) -> str:
    if classified.undecided or classified.label is None or classified.probabilities is None:
        return UNDECIDED
    probability = classified.probabilities[CLASSES.index(classified.label)]
    return f"{classified.label} {format_probability(probability)}"


def _full_name(name: str) -> str:
    """Return the first component group of a DICOM person name as people say it."""
    family, given, *_ = *name.partition("=")[0].split("^"), "", ""
    return " ".join(f"{given} {family}".split())
