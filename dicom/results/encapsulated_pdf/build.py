"""Builds the Encapsulated PDF (PS3.3 A.45.1) of an analysis or of a signed review."""

from typing import Final

from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import EncapsulatedPDFStorage

from dicom.attributes import get_text
from dicom.codes import code_item
from dicom.errors import DicomError, InvalidResult
from dicom.images.frames import decode_frames
from dicom.results.encapsulated_pdf.page import Picture, draw_page
from dicom.results.encapsulated_pdf.text import build_sections, find_shown_image
from dicom.results.model import SignedReview, StudyResult, apply_review
from dicom.results.provenance import add_provenance, add_times, in_its_zone
from dicom.results.result_kind import BuildInputs, SignedBuildInputs
from dicom.results.source_image import SourceImage, read_source
from dicom.uids import derived_uid

SERIES_NUMBER: Final = 9700
VERIFIED_SERIES_NUMBER: Final = 9899
TITLE: Final = "Breast ultrasound, AI analysis"


def build_page(inputs: BuildInputs) -> list[Dataset]:
    """Build the one page of the study, UNVERIFIED, even when all images were refused.

    Raises InvalidResult when no image can be read, and the errors of
    `dicom.images.frames.decode_frames`.
    """
    page = _build_document(inputs.result, None)
    page.SOPInstanceUID = derived_uid("pdf", inputs.result.analysis_id)
    page.SeriesInstanceUID = derived_uid("pdf-series", inputs.result.analysis_id)
    page.SeriesNumber = SERIES_NUMBER
    return [page]


def build_verified_page(inputs: SignedBuildInputs) -> list[Dataset]:
    """Build the page of a signed review, VERIFIED. Raises the errors of `build_page`."""
    review = inputs.signing.review
    page = _build_document(apply_review(inputs.result, review), review)
    page.SOPInstanceUID = derived_uid("pdf-verified", inputs.result.analysis_id, review.review_id)
    page.SeriesInstanceUID = derived_uid("pdf-verified-series", inputs.result.analysis_id)
    page.SeriesNumber = VERIFIED_SERIES_NUMBER
    add_times(page, review.signed_at)
    return [page]


def _build_document(result: StudyResult, review: SignedReview | None) -> Dataset:
    sources = [read_source(image.source) for image in result.images]
    source = sources[0] if sources else _read_refused_source(result)
    flag = "UNVERIFIED" if review is None else "VERIFIED"
    title = f"{TITLE} ({flag})"
    moment = in_its_zone(source.dataset, review.signed_at if review else result.produced_at)
    patient = {
        keyword: get_text(source.dataset, keyword)
        for keyword in ("PatientName", "PatientID", "PatientBirthDate", "StudyDate")
    }
    accession_number = get_text(source.dataset, "AccessionNumber")
    sections = build_sections(result, review, patient, accession_number, moment)
    pdf = draw_page(title, sections, _decode_picture(result, review))
    document = Dataset()
    document.SOPClassUID = EncapsulatedPDFStorage
    document.Modality = "DOC"
    document.SeriesDescription = title
    document.InstanceNumber = 1
    document.ConversionType = "WSD"
    document.AcquisitionDateTime = None
    document.BurnedInAnnotation = "YES"
    document.DocumentTitle = title
    document.ConceptNameCodeSequence = [code_item(codes.DCM.ImagingMeasurementReport)]
    document.VerificationFlag = flag
    if sources:
        document.SourceInstanceSequence = [image.reference() for image in sources]
    document.MIMETypeOfEncapsulatedDocument = "application/pdf"
    document.EncapsulatedDocumentLength = len(pdf)
    document.EncapsulatedDocument = pdf + b"\0" * (len(pdf) % 2)
    add_provenance(document, source, result)
    return document


def _read_refused_source(result: StudyResult) -> SourceImage:
    """Read the first refused image that can be read."""
    for refusal in result.refused_images:
        try:
            return read_source(refusal.source)
        except DicomError:
            continue
    raise InvalidResult("no image of the study can be read, so the patient is not known")


def _decode_picture(result: StudyResult, review: SignedReview | None) -> Picture | None:
    image = find_shown_image(result)
    if image is None:
        return None
    number = image.frame_number or 1
    pixels = next(decode_frames(image.source, [number - 1]))
    if review is not None and review.decision == "reject":
        return Picture(pixels, ())
    lesions = (lesion for lesion in image.lesions if lesion.frame_number == number)
    return Picture(pixels, tuple((lesion.tracking_id, lesion.contour) for lesion in lesions))
