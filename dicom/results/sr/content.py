"""Builds the content of a Measurement Report (PS3.16 TID 1500)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from highdicom.sr import (
    AlgorithmIdentification,
    CodeContentItem,
    ContainerContentItem,
    ContentItem,
    ContentSequence,
    FindingSite,
    GraphicTypeValues,
    ImageContentItem,
    ImageRegion,
    Measurement,
    MeasurementsAndQualitativeEvaluations,
    NumContentItem,
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
from dicom.equipment import DISCLAIMER, MANUFACTURER
from dicom.results.graphic_data import closed_outline
from dicom.results.model import (
    ImageResult,
    LesionResult,
    RefusalReason,
    SignedReview,
    StudyResult,
)
from dicom.results.provenance import algorithm_parameters
from dicom.results.source_image import SourceImage
from dicom.terms.classification import CLASSES, MALIGNANT, NORMAL, Probabilities

_CONTAINS: Final = RelationshipTypeValues.CONTAINS
_CONTEXT: Final = RelationshipTypeValues.HAS_ACQ_CONTEXT


@dataclass(frozen=True)
class SegmentationFrame:
    """The frame and segment that store the mask of a lesion."""

    sop_class_uid: str
    sop_instance_uid: str
    frame_number: int
    segment_number: int


@dataclass(frozen=True)
class ReportInputs:
    """The inputs for the content of a report."""

    result: StudyResult
    sources: Mapping[str, SourceImage]
    """The images that could be read, by SOP Instance UID."""
    masks: Mapping[tuple[str, int], SegmentationFrame]
    """By tracking UID and 1-based frame of the source."""
    review: SignedReview | None = None

    @property
    def algorithm(self) -> AlgorithmIdentification:
        """TID 4019."""
        algorithm = self.result.algorithm
        return AlgorithmIdentification(
            name=algorithm.name,
            version=algorithm.version,
            parameters=algorithm_parameters(algorithm),
            family=concepts.AI,
            manufacturer=MANUFACTURER,
        )


def image_library(inputs: ReportInputs) -> ContainerContentItem | None:
    """Return TID 1600 with the analyzed images, or None if there are none."""
    entries = [
        _library_entry(inputs.sources[image.sop_instance_uid], image.spacing_mm)
        for image in inputs.result.images
    ]
    if not entries:
        return None
    group = ContainerContentItem(codes.DCM.ImageLibraryGroup, relationship_type=_CONTAINS)
    group.ContentSequence = ContentSequence(entries)
    library = ContainerContentItem(codes.DCM.ImageLibrary, relationship_type=_CONTAINS)
    library.ContentSequence = ContentSequence([group])
    return library


def imaging_measurements(inputs: ReportInputs) -> ContainerContentItem | None:
    """Return the measurement groups, or None if there are none.

    A signed report that rejects the analysis restates no findings.
    """
    if inputs.review is not None and inputs.review.decision == "reject":
        return None
    groups: list[
        MeasurementsAndQualitativeEvaluations | PlanarROIMeasurementsAndQualitativeEvaluations
    ] = []
    for image in inputs.result.images:
        source = inputs.sources[image.sop_instance_uid]
        groups.append(_image_group(inputs, image, source))
        for lesion in image.lesions:
            if mask := inputs.masks.get((lesion.tracking_uid, lesion.frame_number)):
                groups.append(_mask_group(inputs, lesion, source, mask))
            if len(lesion.contour) > 2:
                groups.append(_outline_group(inputs, lesion, source))
    if not groups:
        return None
    container = ContainerContentItem(codes.DCM.ImagingMeasurements, relationship_type=_CONTAINS)
    container.ContentSequence = ContentSequence([item for group in groups for item in group])
    return container


def conclusions(inputs: ReportInputs) -> ContainerContentItem:
    """Return the Qualitative Evaluations of TID 1500, which apply to the study as a whole."""
    if inputs.review is None:
        statements = _network_conclusions(inputs.result)
    else:
        statements = _reader_conclusions(inputs.review)
    result, algorithm = inputs.result, inputs.result.algorithm
    count = len(result.images) + len(result.refused_images)
    software = f"{MANUFACTURER}: {algorithm.name} {algorithm.version}"
    comments = [
        DISCLAIMER,
        *([result.note] if result.note else []),
        f"Analyzed {len(result.images)} of {count} images.",
        "; ".join((software, *algorithm_parameters(algorithm))),
    ]
    refusals = [
        _refused_image(refusal.reason, inputs.sources.get(refusal.sop_instance_uid))
        for refusal in result.refused_images
    ]
    container = ContainerContentItem(concepts.QUALITATIVE_EVALUATIONS, relationship_type=_CONTAINS)
    container.ContentSequence = ContentSequence([*statements, *map(_comment, comments), *refusals])
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
    numbers: list[tuple[Code, float, Code]] = [
        (concepts.ROWS, header.rows, concepts.PIXELS),
        (concepts.COLUMNS, header.columns, concepts.PIXELS),
    ]
    if spacing_mm:
        row, column = (round(mm, 6) for mm in spacing_mm)
        numbers.append((concepts.HORIZONTAL_SPACING, column, concepts.MM))
        numbers.append((concepts.VERTICAL_SPACING, row, concepts.MM))
    descriptors.extend(
        NumContentItem(name=name, value=value, unit=unit, relationship_type=_CONTEXT)
        for name, value, unit in numbers
    )
    entry.ContentSequence = ContentSequence(descriptors)
    return entry


# --------------------------------------------------------------------------- measurement groups


def _image_group(
    inputs: ReportInputs, image: ImageResult, source: SourceImage
) -> MeasurementsAndQualitativeEvaluations:
    """Return TID 1501: the class of one image, or of the frames of a cine that were averaged."""
    category: Code | None = None
    finding: Code | None = None
    if not image.undecided:
        is_normal = image.label == NORMAL
        category = concepts.TISSUE if is_normal else concepts.ABNORMAL_STRUCTURE
        finding = concepts.NORMAL_TISSUE if is_normal else concepts.LESION
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(image.tracking_uid, "Image classification"),
        finding_category=category,
        finding_type=finding,
        algorithm_id=inputs.algorithm,
        finding_sites=[_finding_site(source)],
        measurements=[_probability_of_cancer(image.probabilities)],
        qualitative_evaluations=_class_evaluations(inputs, image),
        source_images=[
            SourceImageForMeasurementGroup(
                source.header.sop_class_uid,
                source.header.sop_instance_uid,
                source.frames(*image.averaged_frames),
            )
        ],
    )


def _mask_group(
    inputs: ReportInputs, lesion: LesionResult, source: SourceImage, mask: SegmentationFrame
) -> PlanarROIMeasurementsAndQualitativeEvaluations:
    """Return TID 1410 for the frame of the segmentation that holds the lesion."""
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
    # PS3.3 Table 10-3: no segment number beside a frame number; highdicom writes both
    del frame[0].ReferencedSOPSequence[0].ReferencedSegmentNumber
    measurements, evaluations = _sizes(lesion), None
    if lesion.origin == "network":
        measurements.append(_probability_of_cancer(lesion.probabilities))
        evaluations = _class_evaluations(inputs, lesion)
    return PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(lesion.tracking_uid, lesion.tracking_id),
        referenced_segment=frame,
        finding_category=concepts.ABNORMAL_STRUCTURE,
        finding_type=concepts.LESION,
        algorithm_id=_outline_algorithm(inputs, lesion),
        finding_sites=[_finding_site(source)],
        measurements=measurements,
        qualitative_evaluations=evaluations,
    )


def _outline_group(
    inputs: ReportInputs, lesion: LesionResult, source: SourceImage
) -> PlanarROIMeasurementsAndQualitativeEvaluations:
    """Return TID 1410 for a closed polyline, because many viewers cannot show segmentations."""
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
        algorithm_id=_outline_algorithm(inputs, lesion),
        finding_sites=[_finding_site(source)],
        measurements=_sizes(lesion),
    )


def _outline_algorithm(
    inputs: ReportInputs, lesion: LesionResult
) -> AlgorithmIdentification | None:
    """Return TID 4019 for an outline of the networks, or None for one of the reader."""
    return inputs.algorithm if lesion.origin == "network" else None


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


def _class_evaluations(
    inputs: ReportInputs, classified: ImageResult | LesionResult
) -> list[QualitativeEvaluation]:
    """Return the class, which may be undecided, and the probability of every class.

    A signed report states the reader's impression, so it contains the class of the networks only if
    the reader accepted the analysis.
    """
    evaluations = [
        _classifier_output(label, probability)
        for label, probability in zip(CLASSES, classified.probabilities, strict=True)
    ]
    if inputs.review is None or inputs.review.decision == "accept":
        impression = _impression(classified.label, undecided=classified.undecided)
        evaluations.insert(0, QualitativeEvaluation(concepts.IMPRESSION, impression))
    return evaluations


def _impression(label: str, *, undecided: bool) -> Code:
    code: Code = concepts.UNDECIDED if undecided else concepts.CLASS[label]
    return code


def _classifier_output(label: str, probability: float) -> QualitativeEvaluation:
    evaluation = QualitativeEvaluation(concepts.CLASSIFIER_OUTPUT, concepts.CLASS[label])
    number = NumContentItem(
        name=concepts.PROBABILITY,
        value=_percent(probability),
        unit=concepts.PERCENT,
        relationship_type=RelationshipTypeValues.HAS_PROPERTIES,
    )
    evaluation[0].ContentSequence = ContentSequence([number])
    return evaluation


def _finding_site(source: SourceImage) -> FindingSite:
    return FindingSite(concepts.BREAST, laterality=concepts.SIDE.get(source.header.laterality))


# --------------------------------------------------------------------------- the study as a whole


def _network_conclusions(result: StudyResult) -> Iterator[ContentItem]:
    if result.label is None or result.probabilities is None:
        yield _comment("No image of this study could be analyzed.")
        return
    impression = _impression(result.label, undecided=result.undecided)
    yield _code(concepts.IMPRESSION, impression, _CONTAINS)
    if result.undecided:
        threshold = result.algorithm.confidence_threshold
        yield _comment(f"Undecided: no class reaches a probability of {threshold:.1%}.")
    for label, probability in zip(CLASSES, result.probabilities, strict=True):
        yield from _classifier_output(label, probability)


def _reader_conclusions(review: SignedReview) -> Iterator[ContentItem]:
    if review.final_label is not None:
        yield _code(concepts.IMPRESSION, concepts.CLASS[review.final_label], _CONTAINS)
    yield _code(concepts.READER_DECISION, concepts.DECISION[review.decision], _CONTAINS)
    if review.birads is not None:
        yield _code(concepts.OVERALL_ASSESSMENT, concepts.BIRADS[review.birads], _CONTAINS)
    if review.reason:
        yield _comment(f"Reason: {review.reason}")
    if review.comment:
        yield _comment(review.comment)


def _refused_image(reason: RefusalReason, source: SourceImage | None) -> TextContentItem:
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


def _comment(value: str) -> TextContentItem:
    return TextContentItem(name=concepts.COMMENT, value=value, relationship_type=_CONTAINS)


def _percent(probability: float) -> float:
    return round(100 * float(probability), 1)
