"""Builds a Key Object Selection (PS3.3 A.35.4, PS3.16 TID 2010) of the frames with findings."""

from collections.abc import Iterator
from typing import Final

from highdicom.ko import KeyObjectSelection, KeyObjectSelectionDocument
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from dicom.codes import FOR_REPORT_ATTACHMENT, OF_INTEREST
from dicom.equipment import DISCLAIMER, MANUFACTURER
from dicom.results.device_observer import device_observer
from dicom.results.model import ImageResult, StudyResult
from dicom.results.patient_study import add_requests
from dicom.results.provenance import add_provenance
from dicom.results.result_kind import BuildInputs
from dicom.results.source_image import (
    SourceImage,
    name_true_classes,
    one_frame_stand_in,
    read_source,
)
from dicom.terms.classification import NORMAL
from dicom.uids import derived_uid

SERIES_NUMBER: Final = 9800
SERIES_DESCRIPTION: Final = "AI key images (UNVERIFIED)"
TITLES: Final[dict[str, Code]] = {
    "of-interest": OF_INTEREST,
    "for-report-attachment": FOR_REPORT_ATTACHMENT,
}
"""Document titles (CID 7010) by variant."""


def build_key_objects(inputs: BuildInputs) -> Iterator[Dataset]:
    """Build one selection of the frames with findings, or none if there are none.

    It selects the frames with a lesion, and the representative frame of each image whose class is
    not normal. Raises the errors of `dicom.images.header.read_header` for a source that cannot be
    read.
    """
    result, variant = inputs.result, inputs.spec.variant
    images = {
        image.sop_instance_uid: image
        for image in result.images
        if image.lesions or not _is_normal(image)
    }
    if not images:
        return
    sources = {uid: read_source(image.source) for uid, image in images.items()}
    document = _build_document(result, sources, variant)
    name_true_classes(document, sources)
    for item in document.ContentSequence:
        if item.ValueType != "IMAGE":
            continue
        # TID 2010 row 8 allows no purpose of reference; highdicom writes "Source"
        del item.ConceptNameCodeSequence
        (reference,) = item.ReferencedSOPSequence
        uid = str(reference.ReferencedSOPInstanceUID)
        image = images[uid]
        frames = {lesion.frame_number for lesion in image.lesions}
        if not _is_normal(image) and image.frame_number is not None:
            frames.add(image.frame_number)
        if sources[uid].cine and frames:
            reference.ReferencedFrameNumber = sorted(frames)
    document.SeriesDescription = SERIES_DESCRIPTION
    add_provenance(document, next(iter(sources.values())), result)
    add_requests(document, sources.values())
    yield document


def _is_normal(image: ImageResult) -> bool:
    return image.label == NORMAL and not image.undecided


def _build_document(result: StudyResult, sources: dict[str, SourceImage], variant: str) -> Dataset:
    images = [one_frame_stand_in(source) for source in sources.values()]
    content = KeyObjectSelection(
        document_title=TITLES[variant],
        referenced_objects=images,
        observer_device_context=device_observer(result.algorithm),
        description=f"Images with findings by AI, not verified. {DISCLAIMER}",
    )
    document: Dataset = KeyObjectSelectionDocument(
        evidence=images,
        content=content,
        series_instance_uid=derived_uid("key-objects-series", result.analysis_id, variant),
        series_number=SERIES_NUMBER,
        sop_instance_uid=derived_uid("key-objects", result.analysis_id, variant),
        instance_number=1,
        manufacturer=MANUFACTURER,
    )
    return document
