"""The content tree of a Measurement Report (PS3.16 TID 1500), the same in every SR class."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from highdicom.sr import (
    AlgorithmIdentification,
    CodeContentItem,
    ContainerContentItem,
    ContentItem,
    ContentSequence,
    DeviceObserverIdentifyingAttributes,
    FindingSite,
    GraphicTypeValues,
    ImageContentItem,
    ImageRegion,
    Measurement,
    MeasurementsAndQualitativeEvaluations,
    NumContentItem,
    ObserverContext,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    ReferencedSegmentationFrame,
    RelationshipTypeValues,
    SourceImageForMeasurementGroup,
    SourceImageForRegion,
    SourceImageForSegmentation,
    TextContentItem,
    TrackingIdentifier,
)
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from dicom import codes as concepts
from dicom.equipment import DISCLAIMER, MANUFACTURER, RESULT_MODEL
from dicom.results.graphic_data import closed_outline
from dicom.results.model import (
    Algorithm,
    ImageResult,
    LesionResult,
    RefusalReason,
    SignedReview,
    StudyResult,
)
from dicom.results.provenance import algorithm_parameters, serial_number
from dicom.results.source_image import SourceImage
from dicom.terms.classification import CLASSES, MALIGNANT, NORMAL, Probabilities

_CONTAINS: Final = RelationshipTypeValues.CONTAINS
_CONTEXT: Final = RelationshipTypeValues.HAS_ACQ_CONTEXT


@dataclass(frozen=True)
class SegmentationFrame:
    """Where a lesion's mask is stored."""

    sop_class_uid: str
    sop_instance_uid: str
    frame_number: int
    segment_number: int


@dataclass(frozen=True)
class ReportFacts:
    """What the tree is made of. `sources` holds the images that could be read, by SOP UID."""

    result: StudyResult
    sources: Mapping[str, SourceImage]
    masks: Mapping[tuple[str, int], SegmentationFrame]
    """By tracking UID and 1-based frame of the source."""
    review: SignedReview | None = None

    @property
    def algorithm(self) -> AlgorithmIdentification:
        return _algorithm(self.result.algorithm)


def device_observer(algorithm: Algorithm) -> ObserverContext:
    """Return TID 1004: the algorithm as the device that observed."""
    device = DeviceObserverIdentifyingAttributes(
        uid=algorithm.device_uid,
        name=algorithm.name,
        manufacturer_name=MANUFACTURER,
        model_name=RESULT_MODEL,
        serial_number=serial_number(algorithm),
    )
    return ObserverContext(codes.DCM.Device, device)


def image_library(facts: ReportFacts) -> ContainerContentItem | None:
    """Return TID 1600 over the images that were analyzed, None when none was."""
    entries = [
        _library_entry(facts.sources[image.sop_instance_uid], image.spacing_mm)
        for image in facts.result.images
    ]
    if not entries:
        return None
    group = ContainerContentItem(codes.DCM.ImageLibraryGroup, relationship_type=_CONTAINS)
    group.ContentSequence = ContentSequence(entries)
    library = ContainerContentItem(codes.DCM.ImageLibrary, relationship_type=_CONTAINS)
    library.ContentSequence = ContentSequence([group])
    return library


def imaging_measurements(facts: ReportFacts) -> ContainerContentItem | None:
    """Return the measurement groups, None when there are none to state.

    A reader's report that rejects the analysis states none of its findings.
    """
    if facts.review is not None and facts.review.decision == "reject":
        return None
    groups = [group for image in facts.result.images for group in _groups(facts, image)]
    if not groups:
        return None
    container = ContainerContentItem(codes.DCM.ImagingMeasurements, relationship_type=_CONTAINS)
    container.ContentSequence = ContentSequence([item for group in groups for item in group])
    return container


def conclusions(facts: ReportFacts) -> ContainerContentItem:
    """Return TID 1500's Qualitative Evaluations: what is said of the study as a whole."""
    container = ContainerContentItem(concepts.QUALITATIVE_EVALUATIONS, relationship_type=_CONTAINS)
    statements = _reader_conclusions(facts.review) if facts.review else _own_conclusions(facts)
    container.ContentSequence = ContentSequence([*statements, *_about(facts)])
    return container


# --------------------------------------------------------------------------- image library


def _library_entry(source: SourceImage, spacing_mm: tuple[float, float] | None) -> ImageContentItem:
    header = source.header
    entry = ImageContentItem(
        name=concepts.SOURCE_IMAGE,
        referenced_sop_class_uid=header.sop_class_uid,
        referenced_sop_instance_uid=header.sop_instance_uid,
        relationship_type=_CONTAINS,
    )
    descriptors: list[ContentItem] = [
        _code(concepts.MODALITY, concepts.ULTRASOUND, _CONTEXT),
        _code(concepts.TARGET_REGION, concepts.BREAST, _CONTEXT),
    ]
    if side := concepts.SIDE.get(header.laterality):
        descriptors.append(_code(concepts.IMAGE_LATERALITY, side, _CONTEXT))
    descriptors.append(_number(concepts.ROWS, header.rows, concepts.PIXELS, _CONTEXT))
    descriptors.append(_number(concepts.COLUMNS, header.columns, concepts.PIXELS, _CONTEXT))
    if spacing_mm:
        row, column = (round(mm, 6) for mm in spacing_mm)
        descriptors.append(_number(concepts.HORIZONTAL_SPACING, column, concepts.MM, _CONTEXT))
        descriptors.append(_number(concepts.VERTICAL_SPACING, row, concepts.MM, _CONTEXT))
    entry.ContentSequence = ContentSequence(descriptors)
    return entry


# --------------------------------------------------------------------------- measurement groups


def _groups(
    facts: ReportFacts, image: ImageResult
) -> Iterator[
    MeasurementsAndQualitativeEvaluations | PlanarROIMeasurementsAndQualitativeEvaluations
]:
    source = facts.sources[image.sop_instance_uid]
    yield _image_group(facts, image, source)
    for lesion in image.lesions:
        if mask := facts.masks.get((lesion.tracking_uid, lesion.frame_number)):
            yield _mask_group(facts, lesion, source, mask)
        if len(lesion.contour) > 2:
            yield _outline_group(facts, lesion, source)


def _image_group(
    facts: ReportFacts, image: ImageResult, source: SourceImage
) -> MeasurementsAndQualitativeEvaluations:
    """Return TID 1501: the class of one image; of a cine that of the frames averaged for it."""
    category, finding = _finding(image)
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(image.tracking_uid, "Image classification"),
        finding_category=category,
        finding_type=finding,
        algorithm_id=facts.algorithm,
        finding_sites=[_site(source)],
        measurements=[_probability_of_cancer(image.probabilities)],
        qualitative_evaluations=_classes(facts, image),
        source_images=[
            SourceImageForMeasurementGroup(
                source.header.sop_class_uid,
                source.header.sop_instance_uid,
                source.frames(*image.averaged_frames),
            )
        ],
    )


def _finding(image: ImageResult) -> tuple[Code | None, Code | None]:
    """Return category and type of what an image shows: neither, where that is undecided."""
    if image.undecided:
        return None, None
    if image.label == NORMAL:
        return concepts.TISSUE, concepts.NORMAL_TISSUE
    return concepts.ABNORMAL_STRUCTURE, concepts.LESION


def _mask_group(
    facts: ReportFacts, lesion: LesionResult, source: SourceImage, mask: SegmentationFrame
) -> PlanarROIMeasurementsAndQualitativeEvaluations:
    """Return TID 1410 over the frame of the segmentation that holds the lesion."""
    header = source.header
    frame = ReferencedSegmentationFrame(
        sop_class_uid=mask.sop_class_uid,
        sop_instance_uid=mask.sop_instance_uid,
        frame_number=mask.frame_number,
        segment_number=mask.segment_number,
        source_image=SourceImageForSegmentation(
            header.sop_class_uid, header.sop_instance_uid, source.frames(lesion.frame_number)
        ),
    )
    # PS3.3 Table 10-3: no segment number where a frame number says it all; highdicom writes both
    del frame[0].ReferencedSOPSequence[0].ReferencedSegmentNumber
    return PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(lesion.tracking_uid, lesion.tracking_id),
        referenced_segment=frame,
        finding_category=concepts.ABNORMAL_STRUCTURE,
        finding_type=concepts.LESION,
        algorithm_id=_drawn_by(facts, lesion),
        finding_sites=[_site(source)],
        measurements=[*_sizes(lesion), *_networks_probability(lesion)],
        qualitative_evaluations=_networks_class(facts, lesion),
    )


def _outline_group(
    facts: ReportFacts, lesion: LesionResult, source: SourceImage
) -> PlanarROIMeasurementsAndQualitativeEvaluations:
    """Return TID 1410 over a closed polyline, for the many viewers that draw no segmentation."""
    header = source.header
    region = ImageRegion(
        graphic_type=GraphicTypeValues.POLYLINE,
        graphic_data=closed_outline(lesion.contour),
        source_image=SourceImageForRegion(
            header.sop_class_uid, header.sop_instance_uid, source.frames(lesion.frame_number)
        ),
    )
    return PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(lesion.tracking_uid, lesion.tracking_id),
        referenced_region=region,
        finding_category=concepts.ABNORMAL_STRUCTURE,
        finding_type=concepts.LESION,
        algorithm_id=_drawn_by(facts, lesion),
        finding_sites=[_site(source)],
        measurements=_sizes(lesion),
    )


def _drawn_by(facts: ReportFacts, lesion: LesionResult) -> AlgorithmIdentification | None:
    """Name the algorithm (TID 4019) of its own outlines only: a reader's are the observer's."""
    return facts.algorithm if lesion.origin == "network" else None


def _networks_probability(lesion: LesionResult) -> list[Measurement]:
    return [_probability_of_cancer(lesion.probabilities)] if lesion.origin == "network" else []


def _networks_class(facts: ReportFacts, lesion: LesionResult) -> list[QualitativeEvaluation] | None:
    if lesion.origin != "network":
        return None
    return _classes(facts, lesion)


def _sizes(lesion: LesionResult) -> list[Measurement]:
    size, size_mm = lesion.measurements, lesion.measurements.size_mm
    names = (concepts.AREA, concepts.LONG_AXIS, concepts.SHORT_AXIS)
    if size_mm:
        values = size_mm.area_mm2, size_mm.long_axis_mm, size_mm.short_axis_mm
        units = concepts.MM2, concepts.MM, concepts.MM
    else:
        values = size.area_px, size.long_axis_px, size.short_axis_px
        units = (concepts.PIXELS,) * 3
    return [
        Measurement(name=name, value=round(float(value), 2), unit=unit)
        for name, value, unit in zip(names, values, units, strict=True)
    ]


def _probability_of_cancer(probabilities: Probabilities) -> Measurement:
    malignant = probabilities[CLASSES.index(MALIGNANT)]
    return Measurement(
        name=concepts.PROBABILITY_OF_CANCER, value=_percent(malignant), unit=concepts.PERCENT
    )


def _classes(facts: ReportFacts, said: ImageResult | LesionResult) -> list[QualitativeEvaluation]:
    """Return the class, or that it is undecided, and every class's probability.

    In a reader's report the class is left out unless the reader accepted it: there an impression
    is the reader's alone.
    """
    evaluations = [_output(name, p) for name, p in zip(CLASSES, said.probabilities, strict=True)]
    if facts.review is None or facts.review.decision == "accept":
        impression = _impression(said.label, undecided=said.undecided)
        evaluations.insert(0, QualitativeEvaluation(concepts.IMPRESSION, impression))
    return evaluations


def _impression(label: str, *, undecided: bool) -> Code:
    code: Code = concepts.UNDECIDED if undecided else concepts.CLASS[label]
    return code


def _output(label: str, probability: float) -> QualitativeEvaluation:
    evaluation = QualitativeEvaluation(concepts.CLASSIFIER_OUTPUT, concepts.CLASS[label])
    evaluation[0].ContentSequence = ContentSequence([_probability(probability)])
    return evaluation


def _site(source: SourceImage) -> FindingSite:
    return FindingSite(concepts.BREAST, laterality=concepts.SIDE.get(source.header.laterality))


def _algorithm(algorithm: Algorithm) -> AlgorithmIdentification:
    """Return TID 4019."""
    return AlgorithmIdentification(
        name=algorithm.name,
        version=algorithm.version,
        parameters=algorithm_parameters(algorithm),
        family=concepts.AI,
        manufacturer=MANUFACTURER,
    )


# --------------------------------------------------------------------------- the study as a whole


def _own_conclusions(facts: ReportFacts) -> Iterator[ContentItem]:
    result = facts.result
    if result.label is None or result.probabilities is None:
        yield _text("No image of this study could be analyzed.")
        return
    impression = _impression(result.label, undecided=result.undecided)
    yield _code(concepts.IMPRESSION, impression, _CONTAINS)
    if result.undecided:
        yield _text(
            f"Undecided: no class reaches a probability of {result.algorithm.confidence_threshold:.1%}."
        )
    for label, probability in zip(CLASSES, result.probabilities, strict=True):
        yield from _output(label, probability)


def _reader_conclusions(review: SignedReview) -> Iterator[ContentItem]:
    if review.final_label is not None:
        yield _code(concepts.IMPRESSION, concepts.CLASS[review.final_label], _CONTAINS)
    yield _code(concepts.READER_DECISION, concepts.DECISION[review.decision], _CONTAINS)
    if review.birads is not None:
        yield _code(concepts.OVERALL_ASSESSMENT, concepts.BIRADS[review.birads], _CONTAINS)
    if review.reason:
        yield _text(f"Reason: {review.reason}")
    if review.comment:
        yield _text(review.comment)


def _about(facts: ReportFacts) -> Iterator[ContentItem]:
    result = facts.result
    yield _text(DISCLAIMER)
    if result.note:
        yield _text(result.note)
    count = len(result.images) + len(result.refused_images)
    yield _text(f"Analyzed {len(result.images)} of {count} images.")
    yield _text("; ".join((*_software(result.algorithm), *algorithm_parameters(result.algorithm))))
    for refusal in result.refused_images:
        yield _refused(refusal.reason, facts.sources.get(refusal.sop_instance_uid))


def _software(algorithm: Algorithm) -> tuple[str, ...]:
    return (f"{MANUFACTURER}: {algorithm.name} {algorithm.version}",)


def _refused(reason: RefusalReason, source: SourceImage | None) -> TextContentItem:
    item = TextContentItem(
        name=concepts.REFUSED_IMAGE,
        value=f"[{reason.code}] {reason.text}",
        relationship_type=_CONTAINS,
    )
    if source is not None:
        reference = ImageContentItem(
            name=concepts.SOURCE_IMAGE,
            referenced_sop_class_uid=source.header.sop_class_uid,
            referenced_sop_instance_uid=source.header.sop_instance_uid,
            relationship_type=RelationshipTypeValues.INFERRED_FROM,
        )
        item.ContentSequence = ContentSequence([reference])
    return item


# --------------------------------------------------------------------------- content items


def _code(name: Code, value: Code, relationship: RelationshipTypeValues) -> CodeContentItem:
    return CodeContentItem(name=name, value=value, relationship_type=relationship)


def _number(
    name: Code, value: float, unit: Code, relationship: RelationshipTypeValues
) -> NumContentItem:
    return NumContentItem(name=name, value=value, unit=unit, relationship_type=relationship)


def _probability(probability: float) -> NumContentItem:
    properties = RelationshipTypeValues.HAS_PROPERTIES
    return _number(concepts.PROBABILITY, _percent(probability), concepts.PERCENT, properties)


def _text(value: str) -> TextContentItem:
    return TextContentItem(name=concepts.COMMENT, value=value, relationship_type=_CONTAINS)


def _percent(probability: float) -> float:
    return round(100 * float(probability), 1)
