"""Builds structured reports of an analysis (UNVERIFIED) and of a signed review (VERIFIED).

Both are Measurement Reports (PS3.16 TID 1500), whose content does not depend on the SOP class.
Regions are always SCOORD, because SCOORD3D requires a frame of reference, which ultrasound lacks.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from highdicom.sr import (
    CodeContentItem,
    CodedConcept,
    Comprehensive3DSR,
    ComprehensiveSR,
    ContainerContentItem,
    ContentSequence,
    EnhancedSR,
    LanguageOfContentItemAndDescendants,
    ObservationContext,
    ObserverContext,
    PersonObserverIdentifyingAttributes,
    RelationshipTypeValues,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import SegmentationStorage

from dicom import codes as concepts
from dicom.codes import cornerstone_scheme_item, private_scheme_item
from dicom.equipment import MANUFACTURER
from dicom.errors import DicomError, InvalidResult
from dicom.results.device_observer import device_observer
from dicom.results.model import (
    ImageRefusal,
    ImageResult,
    ReportReference,
    SignedReview,
    StudyResult,
    apply_review,
)
from dicom.results.patient_study import add_requests
from dicom.results.provenance import add_provenance, add_times, date_time, in_its_zone
from dicom.results.result_kind import BuildInputs, BuiltObjects, SignedBuildInputs
from dicom.results.source_image import (
    SourceImage,
    name_true_classes,
    one_frame_stand_in,
    read_source,
)
from dicom.results.sr.content import (
    ReportInputs,
    SegmentationFrame,
    conclusions,
    image_library,
    imaging_measurements,
)
from dicom.uids import derived_uid

CONTENT_VERSION: Final = "content-2"
"""Part of the UIDs. Change it with the content: a UID that was sent must never get other bytes."""
SERIES_NUMBER: Final = 9000
VERIFIED_SERIES_NUMBER: Final = 9900
SERIES_DESCRIPTION: Final = "AI findings (UNVERIFIED)"
VERIFIED_SERIES_DESCRIPTION: Final = "Breast US findings (VERIFIED)"
DOCUMENT_CLASSES: Final[Mapping[str, type[ComprehensiveSR | Comprehensive3DSR | EnhancedSR]]] = {
    "comprehensive": ComprehensiveSR,  # what most viewers and archives accept
    "comprehensive-3d": Comprehensive3DSR,  # what IHE AIR requires
    "enhanced": EnhancedSR,
}
"""By variant."""


@dataclass(frozen=True)
class _DocumentHeader:
    """The attributes that differ between reports, without their content."""

    variant: str
    series_instance_uid: str
    series_number: int
    series_description: str
    sop_instance_uid: str
    created_at: datetime
    predecessors: tuple[ReportReference, ...]


def build_report(inputs: BuildInputs) -> list[Dataset]:
    """Build the one report of the study: UNVERIFIED, PRELIMINARY, COMPLETE.

    It lists refused images with their reasons, and is built even when all images were refused.

    Raises InvalidResult when no image can be read, or a label is not one of CLASSES.
    """
    result, variant = inputs.result, inputs.spec.variant
    segmentations = _without_label_maps(_choose_segmentations(inputs.segmentations))
    edition = f" {inputs.edition}" if inputs.edition else ""
    uid_parts = result.analysis_id + edition, CONTENT_VERSION, variant, *_uids(segmentations)
    header = _DocumentHeader(
        variant=variant,
        series_instance_uid=derived_uid("sr-series", *uid_parts),
        series_number=SERIES_NUMBER,
        series_description=SERIES_DESCRIPTION,
        sop_instance_uid=derived_uid("sr", *uid_parts),
        created_at=result.produced_at,
        predecessors=(inputs.predecessor,) if inputs.predecessor else (),
    )
    return [_build_document(result, segmentations, header)]


def build_verified_report(inputs: SignedBuildInputs) -> list[Dataset]:
    """Build the report of the reader: VERIFIED, FINAL, successor of the report that was reviewed.

    The class of the study, decision, BI-RADS category, reason and comment are the reader's. The
    report of an accepted analysis restates its findings with the reader's outlines. That of a
    modified one restates them without the classes of the networks, that of a rejected one not at
    all.

    Raises the errors of `build_report`, InvalidResult for a reader without an organization, and
    KeyError without a predecessor.
    """
    result, signing, variant = inputs.result, inputs.signing, inputs.spec.variant
    review = signing.review
    if not review.reader_organization.strip():  # Verifying Organization (0040,A027) is type 1
        raise InvalidResult(
            "the reader who signed has no organization. An administrator must enter one"
        )
    unchanged = [
        segmentation
        for segmentation in _choose_segmentations(signing.published)
        if _image_uid(segmentation) not in review.outlines
    ]
    segmentations = _without_label_maps([*unchanged, *_choose_segmentations(inputs.edited)])
    earlier = tuple(signing.earlier.get(inputs.spec, ()))
    earlier_uids = [reference.sop_instance_uid for reference in earlier]
    uid_parts = review.review_id, CONTENT_VERSION, variant, *_uids(segmentations), *earlier_uids
    header = _DocumentHeader(
        variant=variant,
        series_instance_uid=derived_uid("sr-verified-series", result.analysis_id, variant),
        series_number=VERIFIED_SERIES_NUMBER,
        series_description=VERIFIED_SERIES_DESCRIPTION,
        sop_instance_uid=derived_uid("sr-verified", *uid_parts),
        created_at=review.signed_at,
        predecessors=(signing.predecessors[inputs.spec], *earlier),
    )
    return [_build_document(apply_review(result, review), segmentations, header, review)]


def _choose_segmentations(segmentations: BuiltObjects) -> Sequence[Dataset]:
    """Return the segmentations of the most widely supported spec."""
    specs = sorted(
        segmentations,
        key=lambda spec: (spec.kind.variants.index(spec.variant), len(spec.options)),
    )
    return segmentations[specs[0]] if specs else ()


def _without_label_maps(segmentations: Iterable[Dataset]) -> list[Dataset]:
    """Return `segmentations` without label maps, which report readers do not support yet."""
    return [one for one in segmentations if one.SOPClassUID == SegmentationStorage]


def _image_uid(segmentation: Dataset) -> str:
    series = segmentation.ReferencedSeriesSequence[0]
    return str(series.ReferencedInstanceSequence[0].ReferencedSOPInstanceUID)


def _uids(segmentations: Iterable[Dataset]) -> list[str]:
    return [str(segmentation.SOPInstanceUID) for segmentation in segmentations]


def _build_document(
    result: StudyResult,
    segmentations: Sequence[Dataset],
    header: _DocumentHeader,
    review: SignedReview | None = None,
) -> Dataset:
    _check_labels(result, review)
    sources = _read_sources(result)
    inputs = ReportInputs(result, sources, _segmentation_frames(segmentations), review)
    report: Dataset = DOCUMENT_CLASSES[header.variant](
        evidence=[*map(one_frame_stand_in, sources.values()), *segmentations],
        content=_build_tree(inputs),
        series_instance_uid=header.series_instance_uid,
        series_number=header.series_number,
        series_description=header.series_description,
        sop_instance_uid=header.sop_instance_uid,
        instance_number=1,
        manufacturer=MANUFACTURER,
        is_complete=True,
        is_final=review is not None,
        is_verified=review is not None,
        verifying_observer_name=_person_name(review.reader_name) if review else None,
        verifying_organization=review.reader_organization if review else None,
        performed_procedure_codes=[concepts.PROCEDURE],
        previous_versions=[_predecessor_item(reference) for reference in header.predecessors]
        or None,
    )
    name_true_classes(report, sources)
    add_provenance(report, next(iter(sources.values())), result)
    add_requests(report, sources.values())
    report.CodingSchemeIdentificationSequence = [private_scheme_item(), cornerstone_scheme_item()]
    add_times(report, header.created_at)
    if review is not None:
        observer = report.VerifyingObserverSequence[0]
        observer.VerificationDateTime = date_time(in_its_zone(report, review.signed_at))
        observer.VerifyingObserverIdentificationCodeSequence = [
            CodedConcept(review.reader_id, concepts.PRIVATE_SCHEME, review.reader_name)
        ]
    return report


def _check_labels(result: StudyResult, review: SignedReview | None) -> None:
    labels = {image.label for image in result.images}
    for image in result.images:
        labels |= {lesion.label for lesion in image.lesions if lesion.origin == "network"}
    if result.label is not None:
        labels.add(result.label)
    if review is not None and review.final_label is not None:
        labels.add(review.final_label)
    if labels - concepts.CLASS.keys():
        raise InvalidResult("a label is not one of normal, benign and malignant")
    if review and review.birads is not None and review.birads not in concepts.BIRADS:
        raise InvalidResult("the BI-RADS category is not one of 0 to 6, 4A, 4B and 4C")


def _read_sources(result: StudyResult) -> dict[str, SourceImage]:
    """Read the headers of the images. Refused images that cannot be read are left out."""
    sources: dict[str, SourceImage] = {}
    images: list[ImageResult | ImageRefusal] = [*result.images, *result.refused_images]
    for image in images:
        try:
            source = read_source(image.source)
        except DicomError:
            if isinstance(image, ImageRefusal):
                continue
            raise
        if source.header.sop_instance_uid != image.sop_instance_uid:
            raise InvalidResult("a file does not hold the image that the analysis names")
        sources[source.header.sop_instance_uid] = source
    if not sources:
        raise InvalidResult("no image of the study can be read, so the patient is not known")
    return sources


def _segmentation_frames(
    segmentations: Iterable[Dataset],
) -> Mapping[tuple[str, int], SegmentationFrame]:
    """Return where each mask is stored, by tracking UID and frame of the source."""
    frames = {}
    for segmentation in segmentations:
        uids = {item.SegmentNumber: str(item.TrackingUID) for item in segmentation.SegmentSequence}
        shared = segmentation.SharedFunctionalGroupsSequence[0]
        for number, groups in enumerate(segmentation.PerFrameFunctionalGroupsSequence, start=1):
            identified = groups if "SegmentIdentificationSequence" in groups else shared
            segment = identified.SegmentIdentificationSequence[0].ReferencedSegmentNumber
            image = groups.DerivationImageSequence[0].SourceImageSequence[0]
            frames[uids[segment], int(image.get("ReferencedFrameNumber", 1))] = SegmentationFrame(
                str(segmentation.SOPClassUID), str(segmentation.SOPInstanceUID), number, segment
            )
    return frames


def _build_tree(inputs: ReportInputs) -> ContainerContentItem:
    root = ContainerContentItem(codes.DCM.ImagingMeasurementReport, template_id="1500")
    modifier = RelationshipTypeValues.HAS_CONCEPT_MOD
    person = None
    if review := inputs.review:
        identification = PersonObserverIdentifyingAttributes(
            name=_person_name(review.reader_name), organization_name=review.reader_organization
        )
        person = ObserverContext(codes.DCM.Person, identification)
    observers = ObservationContext(  # TID 1001
        observer_person_context=person,
        observer_device_context=device_observer(inputs.result.algorithm),
    )
    library, measurements = image_library(inputs), imaging_measurements(inputs)
    root.ContentSequence = ContentSequence(
        [
            *LanguageOfContentItemAndDescendants(CodedConcept.from_code(concepts.LANGUAGE)),
            *observers,
            CodeContentItem(codes.DCM.ProcedureReported, concepts.PROCEDURE, modifier),
            *([library] if library else []),
            *([measurements] if measurements else []),
            conclusions(inputs),
        ]
    )
    return root


def _person_name(name: str) -> str:
    """Return `name` with a component separator, because highdicom warns about names without one."""
    return name if "^" in name else f"{name}^"


def _predecessor_item(reference: ReportReference) -> Dataset:
    dataset = Dataset()
    dataset.StudyInstanceUID = reference.study_instance_uid
    dataset.SeriesInstanceUID = reference.series_instance_uid
    dataset.SOPClassUID = reference.sop_class_uid
    dataset.SOPInstanceUID = reference.sop_instance_uid
    return dataset
