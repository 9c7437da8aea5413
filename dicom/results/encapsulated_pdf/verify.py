"""Verifies the page by its text and attributes. See `dicom.results.verify`."""

import re
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Final

from pypdf import PdfReader
from pypdf.errors import PyPdfError

from dicom.errors import ReadBackMismatch
from dicom.files import read_dataset
from dicom.results.model import LesionResult, SignedReview, StudyResult, apply_review
from dicom.results.verify import parsing

_LISTED_LESIONS: Final = 8
_EXTRACTABLE: Final = re.compile("[\u0020-\u058f]+")
"""Right-to-left text and text in CJK fonts cannot be extracted reliably."""


@dataclass(frozen=True)
class ReadPage:
    """An Encapsulated PDF as stored."""

    verification_flag: str
    title: str
    mime_type: str
    source_uids: frozenset[str]
    patient_id: str
    text: str
    """The text of the page, without white space."""


def read_back_page(path: Path) -> ReadPage:
    """Read an Encapsulated PDF. Raises NotDicom, TruncatedFile, ReadBackMismatch."""
    dataset = read_dataset(path)
    with parsing("the page"):
        content = dataset.EncapsulatedDocument[: dataset.EncapsulatedDocumentLength]
        try:
            (page,) = PdfReader(BytesIO(content), strict=True).pages
            text = page.extract_text()
        except PyPdfError as error:
            raise ValueError("not a PDF") from error
        references = dataset.get("SourceInstanceSequence", [])
        return ReadPage(
            verification_flag=str(dataset.VerificationFlag),
            title=str(dataset.DocumentTitle),
            mime_type=str(dataset.MIMETypeOfEncapsulatedDocument),
            source_uids=frozenset(str(item.ReferencedSOPInstanceUID) for item in references),
            patient_id=str(dataset.PatientID or ""),
            text="".join(text.split()),
        )


def verify_page(path: Path, result: StudyResult, review: SignedReview | None = None) -> ReadPage:
    """Read `path`. Raises ReadBackMismatch unless it agrees with `result` and its `review`."""
    page = read_back_page(path)
    if page.verification_flag != ("UNVERIFIED" if review is None else "VERIFIED"):
        raise ReadBackMismatch("the verification differs")
    if f"({page.verification_flag})" not in page.title or page.mime_type != "application/pdf":
        raise ReadBackMismatch("the title or the MIME type differs")
    if page.source_uids != {image.sop_instance_uid for image in result.images}:
        raise ReadBackMismatch("the page names other images")
    for text in (page.patient_id, *_expected_texts(result, review)):
        for part in _EXTRACTABLE.findall(text):
            if "".join(part.split()) not in page.text:
                raise ReadBackMismatch("the page lacks a text")
    return page


def _expected_texts(result: StudyResult, review: SignedReview | None) -> list[str]:
    algorithm = result.algorithm
    texts = [algorithm.name, algorithm.version, "Research software, not a medical device"]
    if review is not None:
        texts += [f"Class {review.final_label or 'not stated'}"]
        texts += [f"BI-RADS category {review.birads or 'not stated'}"]
        texts += review.reader_name.replace("=", "^").split("^")
        result = apply_review(result, review)
    elif result.probabilities is not None:
        texts += [f"{share:.1%}" for share in result.probabilities]
        texts += ["undecided"] if result.undecided else [f"Class {result.label} ("]
    if review is None or review.decision != "reject":
        lesions: dict[str, list[LesionResult]] = {}
        for image in result.images:
            for lesion in image.lesions:
                lesions.setdefault(lesion.tracking_uid, []).append(lesion)
        for outlines in list(lesions.values())[:_LISTED_LESIONS]:
            size = max((lesion.measurements for lesion in outlines), key=lambda size: size.area_px)
            if size.size_mm:
                texts.append(f"{size.size_mm.long_axis_mm:.1f} x {size.size_mm.short_axis_mm:.1f}")
            else:
                texts.append(f"{size.long_axis_px:.0f} x {size.short_axis_px:.0f} pixels")
    return texts
