"""Key images: a Key Object Selection (PS3.3 A.35.4, PS3.16 TID 2010) of the frames with findings."""

from enum import StrEnum
from typing import Final

from highdicom.ko import KeyObjectSelection, KeyObjectSelectionDocument
from pydicom.dataset import Dataset

from dicom import codes as concepts
from dicom.equipment import DISCLAIMER, MANUFACTURER
from dicom.results.model import ImageResult, StudyResult
from dicom.results.patient_study import add_requests
from dicom.results.provenance import add_provenance
from dicom.results.source_image import (
    SourceImage,
    name_true_classes,
    one_frame_stand_in,
    read_source,
)
from dicom.results.sr.content import device_observer
from dicom.terms.classification import NORMAL
from dicom.uids import derived_uid

SERIES_NUMBER: Final = 9800
SERIES_DESCRIPTION: Final = "AI key images (UNVERIFIED)"


class KeyObjectTitle(StrEnum):
    """Document title, CID 7010."""

    OF_INTEREST = "of-interest"
    FOR_REPORT_ATTACHMENT = "for-report-attachment"


_TITLES: Final = {
    KeyObjectTitle.OF_INTEREST: concepts.OF_INTEREST,
    KeyObjectTitle.FOR_REPORT_ATTACHMENT: concepts.FOR_REPORT_ATTACHMENT,
}


def build_key_objects(
    result: StudyResult, title: KeyObjectTitle = KeyObjectTitle.OF_INTEREST
) -> list[Dataset]:
    """Return the one selection of the frames that carry findings; nothing when none does.

    These are the frames with a lesion, and the frame that stands for an image not called normal.
    The UIDs follow from the analysis and the title. Raises what `dicom.images.header.read_header` raises
    for a source that cannot be read.
    """
    frames = {image.sop_instance_uid: key_frames(image) for image in result.images}
    images = [image for image in result.images if _is_key(image)]
    if not images:
        return []
    sources = {image.sop_instance_uid: read_source(image.source) for image in images}
    document = _by_highdicom(result, sources, title)
    name_true_classes(document, sources)
    _leave_images_unnamed(document)
    _name_frames(document, {uid: source.cine for uid, source in sources.items()}, frames)
    document.SeriesDescription = SERIES_DESCRIPTION
    add_provenance(document, next(iter(sources.values())), result)
    add_requests(document, sources.values())
    return [document]


def key_frames(image: ImageResult) -> list[int]:
    """Return the 1-based frames of `image` that carry findings, none for a cine meant whole."""
    frames = {lesion.frame_number for lesion in image.lesions}
    if not _is_normal(image) and image.frame_number is not None:
        frames.add(image.frame_number)
    return sorted(frames)


def _is_key(image: ImageResult) -> bool:
    return bool(image.lesions) or not _is_normal(image)


def _is_normal(image: ImageResult) -> bool:
    return image.label == NORMAL and not image.undecided


def _by_highdicom(
    result: StudyResult, sources: dict[str, SourceImage], title: KeyObjectTitle
) -> Dataset:
    images = [one_frame_stand_in(source) for source in sources.values()]
    content = KeyObjectSelection(
        document_title=_TITLES[title],
        referenced_objects=images,
        observer_device_context=device_observer(result.algorithm),
        description=f"Images with findings by AI, not verified. {DISCLAIMER}",
    )
    document: Dataset = KeyObjectSelectionDocument(
        evidence=images,
        content=content,
        series_instance_uid=derived_uid("key-objects-series", result.analysis_id, title),
        series_number=SERIES_NUMBER,
        sop_instance_uid=derived_uid("key-objects", result.analysis_id, title),
        instance_number=1,
        manufacturer=MANUFACTURER,
    )
    return document


def _leave_images_unnamed(document: Dataset) -> None:
    """Undo highdicom's "Source": TID 2010 allows no purpose of reference on an image (row 8)."""
    for item in document.ContentSequence:
        if item.ValueType == "IMAGE":
            del item.ConceptNameCodeSequence


def _name_frames(document: Dataset, cine: dict[str, bool], frames: dict[str, list[int]]) -> None:
    for item in document.ContentSequence:
        for reference in item.get("ReferencedSOPSequence", []):
            uid = str(reference.ReferencedSOPInstanceUID)
            if cine[uid] and frames[uid]:
                reference.ReferencedFrameNumber = frames[uid]
