"""Builds the text of the page: sections of labels and values."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final

from dicom.equipment import DISCLAIMER, MANUFACTURER
from dicom.results.model import ImageResult, LesionResult, SignedReview, StudyResult
from dicom.results.provenance import algorithm_parameters
from dicom.terms.classification import CLASSES, suspicion

NOT_A_DEVICE: Final = "Research software, not a medical device."
MAX_LESIONS: Final = 8
_DECISIONS: Final = {"accept": "accepted", "modify": "accepted with changes", "reject": "rejected"}
Section = tuple[str, list[tuple[str, str]]]
"""A heading, and rows of a label and a value."""


def find_shown_image(result: StudyResult) -> ImageResult | None:
    """Return the most suspicious image, by class before probability; None if all were refused."""
    return max(
        result.images,
        key=lambda image: suspicion(image.label, image.probabilities),
        default=None,
    )


def build_sections(
    result: StudyResult,
    review: SignedReview | None,
    patient: Mapping[str, str],
    accession_number: str,
    moment: datetime,
) -> list[Section]:
    """Return the text of the page. `moment` is the time of the analysis or of the signature."""
    about = [
        ("Patient", person_name(patient["PatientName"])),
        ("Patient ID", patient["PatientID"]),
        ("Date of birth", _date(patient["PatientBirthDate"])),
        ("Study date", _date(patient["StudyDate"])),
        ("Accession number", accession_number),
    ]
    time = f"{moment:%Y-%m-%d %H:%M %z}"
    sections: list[Section] = [("Patient and study", about)]
    if review is None:
        status = [("Status", "UNVERIFIED: no radiologist has reviewed it"), ("Analyzed", time)]
        sections.append(("Result of the networks", [*status, *_network_rows(result)]))
    else:
        sections.append(("Signed review: VERIFIED", [*_review_rows(review), ("Signed", time)]))
    if review is None or review.decision != "reject":
        sections.append(("Measurements", list(_lesion_rows(result))))
    algorithm = result.algorithm
    software = f"{MANUFACTURER}: {algorithm.name} {algorithm.version}"
    count = len(result.images) + len(result.refused_images)
    analyzed = f"{len(result.images)} of {count}"
    rows = [("Algorithm", software), ("Images analyzed", analyzed)]
    rows += [("Parameters", parameter) for parameter in algorithm_parameters(algorithm)]
    notes = [NOT_A_DEVICE, DISCLAIMER, *([result.note] if result.note else [])]
    return [*sections, ("Software", rows), ("Note", [("", " ".join(notes))])]


def _date(value: str) -> str:
    """Return a DA value as YYYY-MM-DD."""
    return "-".join((value[:4], value[4:6], value[6:])) if value else ""


def person_name(name: str) -> str:
    """Return a DICOM person name without carets, with its component groups separated by " / "."""
    return " / ".join(" ".join(group.replace("^", " ").split()) for group in name.split("="))


def _network_rows(result: StudyResult) -> Iterator[tuple[str, str]]:
    if result.label is None or result.probabilities is None:
        yield "Class", "No image of this study could be analyzed"
        return
    shares = dict(zip(CLASSES, result.probabilities, strict=True))
    if result.undecided:
        threshold = result.algorithm.confidence_threshold
        yield "Class", f"undecided (below the threshold of {threshold:.1%})"
    else:
        yield "Class", f"{result.label} ({shares[result.label]:.1%})"
    yield "Probabilities", ", ".join(f"{label} {share:.1%}" for label, share in shares.items())


def _review_rows(review: SignedReview) -> Iterator[tuple[str, str]]:
    yield "Reader", person_name(review.reader_name)
    yield "Organization", review.reader_organization
    yield "Decision", f"analysis {_DECISIONS[review.decision]}"
    yield "Class", review.final_label or "not stated"
    yield "BI-RADS category", review.birads or "not stated"
    if review.reason:
        yield "Reason", review.reason
    if review.comment:
        yield "Comment", review.comment


def _lesion_rows(result: StudyResult) -> Iterator[tuple[str, str]]:
    """Yield the largest outline of each lesion."""
    largest: dict[str, LesionResult] = {}
    for image in result.images:
        for lesion in image.lesions:
            known = largest.setdefault(lesion.tracking_uid, lesion)
            if lesion.measurements.area_px > known.measurements.area_px:
                largest[lesion.tracking_uid] = lesion
    if not largest:
        yield "Lesions", "none outlined"
    for lesion in list(largest.values())[:MAX_LESIONS]:
        size, size_mm = lesion.measurements, lesion.measurements.size_mm
        if size_mm:
            axes = f"{size_mm.long_axis_mm:.1f} x {size_mm.short_axis_mm:.1f} mm"
            yield lesion.tracking_id, f"{axes}, {size_mm.area_mm2:.1f} mm²"
        else:
            axes = f"{size.long_axis_px:.0f} x {size.short_axis_px:.0f} pixels"
            yield lesion.tracking_id, f"{axes} (image not calibrated)"
    if len(largest) > MAX_LESIONS:
        yield "More", f"{len(largest) - MAX_LESIONS} other lesions are not listed here"
