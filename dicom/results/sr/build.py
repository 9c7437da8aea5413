"""Structured reports: what the networks found (UNVERIFIED), and what a reader signed (VERIFIED).

Both are a Measurement Report (PS3.16 TID 1500), the same in each of three classes. Regions are
SCOORD in all of them: ultrasound has no frame of reference for the SCOORD3D of Comprehensive 3D.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
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
from dicom.codes import private_scheme_item
from dicom.equipment import MANUFACTURER
from dicom.errors import DicomError, InvalidResult
from dicom.results.model import (
    Algorithm,
    ImageRefusal,
    ImageResult,
    ReportReference,
    SignedReview,
    StudyResult,
    as_reviewed,
)
from dicom.results.patient_study import add_requests
from dicom.results.provenance import add_provenance, add_times, date_time, in_its_zone
from dicom.results.source_image import (
    SourceImage,
    name_true_classes,
    one_frame_stand_in,
    read_source,
)
from dicom.results.sr.content import (
    ReportFacts,
    SegmentationFrame,
    conclusions,
    device_observer,
    image_library,
    imaging_measurements,
)
from dicom.uids import derived_uid

SERIES_NUMBER: Final = 9000
VERIFIED_SERIES_NUMBER: Final = 9900
SERIES_DESCRIPTION: Final = "AI findings (UNVERIFIED)"
VERIFIED_SERIES_DESCRIPTION: Final = "Breast US findings (VERIFIED)"


class ReportClass(StrEnum):
    """The storage class (PS3.4 B.5) that carries the report."""

    COMPREHENSIVE = "comprehensive"
    """What most viewers and archives take."""
    COMPREHENSIVE_3D = "comprehensive-3d"
    """What IHE AIR names."""
    ENHANCED = "enhanced"


_CLASSES: Final = {
    ReportClass.COMPREHENSIVE: ComprehensiveSR,
    ReportClass.COMPREHENSIVE_3D: Comprehensive3DSR,
    ReportClass.ENHANCED: EnhancedSR,
}


@dataclass(frozen=True)
class _Document:
    """How one report differs from another, apart from its content."""

    report_class: ReportClass
    series_instance_uid: str
    series_number: int
    series_description: str
    sop_instance_uid: str
    moment: datetime
    predecessors: tuple[ReportReference, ...]
    review: SignedReview | None = None


def build_report(
    result: StudyResult,
    segmentations: Sequence[Dataset],
    report_class: ReportClass = ReportClass.COMPREHENSIVE,
) -> Dataset:
    """Return the study's one report: UNVERIFIED, PRELIMINARY, COMPLETE.

    `segmentations` are those of `dicom.results.seg.build.build_segmentations`, as built or as read back; there
    may be none. Label maps among them are passed over: validators and readers of reports do not
    know their class yet. Images that were refused are listed with their reason; a report is also
    made when all were. The UIDs follow from analysis, class and segmentations: building again
    makes the same object.

    Raises InvalidResult when none of the images can be read, or a label is not one of CLASSES.
    """
    segmentations = _referable(segmentations)
    parts = result.analysis_id, report_class, *_uids(segmentations)
    document = _Document(
        report_class=report_class,
        series_instance_uid=derived_uid("sr-series", *parts),
        series_number=SERIES_NUMBER,
        series_description=SERIES_DESCRIPTION,
        sop_instance_uid=derived_uid("sr", *parts),
        moment=result.produced_at,
        predecessors=(result.predecessor,) if result.predecessor else (),
    )
    return _build(result, segmentations, document)


def build_verified_report(
    result: StudyResult,
    segmentations: Sequence[Dataset],
    review: SignedReview,
    predecessor: Dataset | ReportReference,
    report_class: ReportClass = ReportClass.COMPREHENSIVE,
    *,
    earlier: Sequence[ReportReference] = (),
) -> Dataset:
    """Return the reader's report: VERIFIED, FINAL, successor of `predecessor`.

    `predecessor` is the report that was reviewed or, when `review` amends another, the report of
    that one. `earlier` are signed reports of the study as it was before images came late, which
    this one takes the place of too. `segmentations` are those of `dicom.results.seg.build.in_force`.

    The study's class, decision, BI-RADS category, reason and comment are the reader's. Accepted
    findings are restated, in the outlines that the reader left; with a modified class they stay,
    but without the networks' class; with a rejected analysis they do not appear. The UID follows
    from the review, the class, the segmentations and the `earlier` reports.

    Raises as `build_report`, and InvalidResult for a reader of no organization.
    """
    _check_reader(review)
    segmentations = _referable(segmentations)
    parts = report_class, *_uids(segmentations), *(one.sop_instance_uid for one in earlier)
    document = _Document(
        report_class=report_class,
        series_instance_uid=derived_uid("sr-verified-series", result.analysis_id, report_class),
        series_number=VERIFIED_SERIES_NUMBER,
        series_description=VERIFIED_SERIES_DESCRIPTION,
        sop_instance_uid=derived_uid("sr-verified", review.review_id, *parts),
        moment=review.signed_at,
        predecessors=(reference_to(predecessor), *earlier),
        review=review,
    )
    return _build(as_reviewed(result, review), segmentations, document)


def reference_to(report: Dataset | ReportReference) -> ReportReference:
    """Return what a successor needs to know of `report`."""
    if isinstance(report, ReportReference):
        return report
    return ReportReference(
        study_instance_uid=str(report.StudyInstanceUID),
        series_instance_uid=str(report.SeriesInstanceUID),
        sop_class_uid=str(report.SOPClassUID),
        sop_instance_uid=str(report.SOPInstanceUID),
    )


def _referable(segmentations: Iterable[Dataset]) -> list[Dataset]:
    return [one for one in segmentations if one.SOPClassUID == SegmentationStorage]


def _uids(segmentations: Iterable[Dataset]) -> list[str]:
    return [str(segmentation.SOPInstanceUID) for segmentation in segmentations]


def _build(result: StudyResult, segmentations: Sequence[Dataset], document: _Document) -> Dataset:
    _check_labels(result, document.review)
    sources = _sources(result)
    facts = ReportFacts(result, sources, _masks(segmentations), document.review)
    report = _by_highdicom(facts, segmentations, document)
    name_true_classes(report, sources)
    add_provenance(report, next(iter(sources.values())), result)
    add_requests(report, sources.values())
    report.CodingSchemeIdentificationSequence = [private_scheme_item()]
    add_times(report, document.moment)
    if document.review is not None:
        _sign(report, document.review)
    return report


def _check_labels(result: StudyResult, review: SignedReview | None) -> None:
    labels = {image.label for image in result.images}
    lesions = [lesion for image in result.images for lesion in image.lesions]
    labels |= {lesion.label for lesion in lesions if lesion.origin == "network"}
    if result.label is not None:
        labels.add(result.label)
    if review is not None and review.final_label is not None:
        labels.add(review.final_label)
    if labels - concepts.CLASS.keys():
        raise InvalidResult("a label is not one of normal, benign and malignant")
    if review and review.birads is not None and review.birads not in concepts.BIRADS:
        raise InvalidResult("the BI-RADS category is not one of 0 to 6, 4A, 4B and 4C")


def _check_reader(review: SignedReview) -> None:
    if not review.reader_organization.strip():  # Verifying Organization (0040,A027) is type 1
        raise InvalidResult(
            "the reader who signed has no organization: an administrator must enter it"
        )


def _sources(result: StudyResult) -> dict[str, SourceImage]:
    """Read the images' headers; one that was refused because it cannot be read is left out."""
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
            raise InvalidResult("a file does not hold the image that it is said to hold")
        sources[source.header.sop_instance_uid] = source
    if not sources:
        raise InvalidResult("not one image of the study can be read, so its patient is not known")
    return sources


def _masks(segmentations: Iterable[Dataset]) -> Mapping[tuple[str, int], SegmentationFrame]:
    masks = {}
    for segmentation in segmentations:
        uids = {item.SegmentNumber: str(item.TrackingUID) for item in segmentation.SegmentSequence}
        shared = segmentation.SharedFunctionalGroupsSequence[0]
        for number, groups in enumerate(segmentation.PerFrameFunctionalGroupsSequence, start=1):
            identification = groups if "SegmentIdentificationSequence" in groups else shared
            segment = identification.SegmentIdentificationSequence[0].ReferencedSegmentNumber
            image = groups.DerivationImageSequence[0].SourceImageSequence[0]
            masks[uids[segment], int(image.get("ReferencedFrameNumber", 1))] = SegmentationFrame(
                str(segmentation.SOPClassUID), str(segmentation.SOPInstanceUID), number, segment
            )
    return masks


def _by_highdicom(
    facts: ReportFacts, segmentations: Sequence[Dataset], document: _Document
) -> Dataset:
    evidence = [one_frame_stand_in(source) for source in facts.sources.values()]
    review = document.review
    report: Dataset = _CLASSES[document.report_class](
        evidence=[*evidence, *segmentations],
        content=_tree(facts),
        series_instance_uid=document.series_instance_uid,
        series_number=document.series_number,
        series_description=document.series_description,
        sop_instance_uid=document.sop_instance_uid,
        instance_number=1,
        manufacturer=MANUFACTURER,
        is_complete=True,
        is_final=review is not None,
        is_verified=review is not None,
        verifying_observer_name=_person_name(review.reader_name) if review else None,
        verifying_organization=review.reader_organization if review else None,
        performed_procedure_codes=[concepts.PROCEDURE],
        previous_versions=[_as_dataset(one) for one in document.predecessors] or None,
    )
    return report


def _tree(facts: ReportFacts) -> ContainerContentItem:
    root = ContainerContentItem(codes.DCM.ImagingMeasurementReport, template_id="1500")
    modifier = RelationshipTypeValues.HAS_CONCEPT_MOD
    library, measurements = image_library(facts), imaging_measurements(facts)
    root.ContentSequence = ContentSequence(
        [
            *LanguageOfContentItemAndDescendants(CodedConcept.from_code(concepts.LANGUAGE)),
            *_observers(facts.result.algorithm, facts.review),
            CodeContentItem(codes.DCM.ProcedureReported, concepts.PROCEDURE, modifier),
            *([library] if library else []),
            *([measurements] if measurements else []),
            conclusions(facts),
        ]
    )
    return root


def _observers(algorithm: Algorithm, review: SignedReview | None) -> ObservationContext:
    """Return TID 1001: the device, and before it the person who signed."""
    return ObservationContext(
        observer_person_context=_reader(review) if review else None,
        observer_device_context=device_observer(algorithm),
    )


def _reader(review: SignedReview) -> ObserverContext:
    person = PersonObserverIdentifyingAttributes(
        name=_person_name(review.reader_name), organization_name=review.reader_organization
    )
    return ObserverContext(codes.DCM.Person, person)


def _person_name(name: str) -> str:
    """Return `name` with a family name component at least: highdicom doubts names without one."""
    return name if "^" in name else f"{name}^"


def _as_dataset(reference: ReportReference) -> Dataset:
    dataset = Dataset()
    dataset.StudyInstanceUID = reference.study_instance_uid
    dataset.SeriesInstanceUID = reference.series_instance_uid
    dataset.SOPClassUID = reference.sop_class_uid
    dataset.SOPInstanceUID = reference.sop_instance_uid
    return dataset


def _sign(report: Dataset, review: SignedReview) -> None:
    observer = report.VerifyingObserverSequence[0]
    observer.VerificationDateTime = date_time(in_its_zone(report, review.signed_at))
    observer.VerifyingObserverIdentificationCodeSequence = [
        CodedConcept(review.reader_id, concepts.PRIVATE_SCHEME, review.reader_name)
    ]
