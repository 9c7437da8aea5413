"""Builds the content of a Measurement Report (PS3.16 TID 1500)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypedDict

import numpy as np
from highdicom.sr import (
    AlgorithmIdentification,
    CodeContentItem,
    ContainerContentItem,
    ContentItem,
    ContentSequence,
    CoordinatesForMeasurement,
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
    ScoordContentItem,
    SourceImageForMeasurementGroup,
    SourceImageForRegion,
    SourceImageForSegmentation,
    TextContentItem,
    TrackingIdentifier,
    UIDRefContentItem,
)
from numpy.typing import NDArray
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import UltrasoundImageStorage

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
from dicom.results.sr.labels import label_image, label_lesion, label_refusal, label_review
from dicom.terms.classification import CLASSES, MALIGNANT, NORMAL, Probabilities, suspicion
from dicom.uids import derived_uid

_CONTAINS: Final = RelationshipTypeValues.CONTAINS
_CONTEXT: Final = RelationshipTypeValues.HAS_ACQ_CONTEXT
# Cornerstone3D edits a region whose tracking identifier begins with one of these; text may follow.
_FREEHAND: Final = "Cornerstone3DTools@^0.1.0:PlanarFreehandROI:"
# An arrow along the upper border with a text: no other tool shows a text and measures nothing.
_ARROW: Final = "Cornerstone3DTools@^0.1.0:ArrowAnnotate:"
_Group = MeasurementsAndQualitativeEvaluations | PlanarROIMeasurementsAndQualitativeEvaluations


class _Findings(TypedDict):
    measurements: list[Measurement]
    qualitative_evaluations: list[QualitativeEvaluation] | None


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
    groups = list(_measurement_groups(inputs))
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


def _measurement_groups(inputs: ReportInputs) -> Iterator[_Group]:
    """Yield the groups of the most suspicious image first.

    OHIF opens a report at the image and the frame of its first group. It opens no report with a
    group that has no coordinates, so each image has a group, refused images and those of a rejected
    analysis too.
    """
    result, review = inputs.result, inputs.review
    images = sorted(
        result.images, key=lambda image: suspicion(image.label, image.probabilities), reverse=True
    )
    for image in images:
        source = inputs.sources[image.sop_instance_uid]
        if review is not None and review.decision == "reject":
            yield _statement_group(source, label_review(review), review.review_id)
        else:
            yield from _outline_groups(inputs, image, source)
            yield _image_group(inputs, image, source)
            yield from _mask_groups(inputs, image, source)
    for refusal in result.refused_images:
        if readable := inputs.sources.get(refusal.sop_instance_uid):
            label = label_refusal(refusal.reason, review)
            owner = review.review_id if review else result.analysis_id
            yield _statement_group(readable, label, owner)


def _image_group(
    inputs: ReportInputs, image: ImageResult, source: SourceImage
) -> MeasurementsAndQualitativeEvaluations:
    """Return TID 1501: the class of one image, or of the frames of a cine that were averaged.

    The probability of cancer was inferred from the whole image, whose border are its coordinates.
    """
    is_normal = image.label == NORMAL and not image.undecided
    region_source = _region_source(source, image.frame_number or 1)
    border = CoordinatesForMeasurement(GraphicTypeValues.POLYLINE, _border(source), region_source)
    group = MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(image.tracking_uid, f"{_ARROW}Image classification"),
        # not "Lesion" for the others: OHIF shows it, and people would take it for another lesion
        finding_category=concepts.TISSUE if is_normal else None,
        finding_type=concepts.NORMAL_TISSUE if is_normal else None,
        algorithm_id=inputs.algorithm,
        finding_sites=[_finding_site(source)],
        measurements=[_probability_of_cancer(image.probabilities, border)],
        qualitative_evaluations=_class_evaluations(inputs, image),
        source_images=[
            SourceImageForMeasurementGroup(
                source.header.sop_class_uid,
                source.header.sop_instance_uid,
                source.frames(*image.averaged_frames),
            )
        ],
    )
    label = label_image(image, inputs.result, inputs.review, cine=source.last_frame > 1)
    group[0].ContentSequence.extend(_caption(label, source, region_source))
    return group


def _statement_group(
    source: SourceImage, label: str, uid_part: str
) -> PlanarROIMeasurementsAndQualitativeEvaluations:
    """Return TID 1410 with the border of an image of which the report states no finding."""
    tracking_uid = derived_uid("sr-statement", uid_part, source.header.sop_instance_uid)
    group = PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(tracking_uid, f"{_ARROW}Image without finding"),
        referenced_region=ImageRegion(
            GraphicTypeValues.POLYLINE, _border(source), _region_source(source, 1)
        ),
    )
    group[0].ContentSequence.extend(_caption(label, source, _region_source(source, 1)))
    return group


def _caption(
    label: str, source: SourceImage, region_source: SourceImageForRegion
) -> list[ContentItem]:
    """Return a label of an image, and where OHIF writes it: in the corner, not over the tissue."""
    corner = np.array([[source.header.columns / 50, source.header.rows / 25]])
    position = ScoordContentItem(
        concepts.TEXT_POSITION, GraphicTypeValues.POINT, corner, relationship_type=_CONTAINS
    )
    position.ContentSequence = ContentSequence([region_source])
    return [_comment(label), position]


def _border(source: SourceImage) -> NDArray[np.float32]:
    """Return the closed line through the middle of the outermost pixels, so that it is visible."""
    right, bottom = source.header.columns - 0.5, source.header.rows - 0.5
    corners = [(0.5, 0.5), (right, 0.5), (right, bottom), (0.5, bottom)]
    return closed_outline(corners)


def _region_source(source: SourceImage, frame_number: int) -> SourceImageForRegion:
    """Return a reference that `name_true_classes` corrects: highdicom knows no retired classes."""
    return SourceImageForRegion(
        UltrasoundImageStorage, source.header.sop_instance_uid, source.frames(frame_number)
    )


def _outline_groups(
    inputs: ReportInputs, image: ImageResult, source: SourceImage
) -> Iterator[MeasurementsAndQualitativeEvaluations]:
    """Yield TID 1501 for each outline, those on the representative frame first.

    The outline is that from which the area was computed (TID 320). OHIF merges groups of the same
    tracking UID and draws only the first outline of them, so the tracking UID is that of the lesion
    on its first group alone; Lesion Identifier names the lesion in all of them.
    """
    seen: set[str] = set()
    lesions = [lesion for lesion in image.lesions if len(lesion.contour) > 2]
    for lesion in sorted(lesions, key=lambda one: one.frame_number != image.frame_number):
        uid = lesion.tracking_uid
        if uid in seen:
            uid = derived_uid("sr-outline", uid, str(lesion.frame_number))
        seen.add(lesion.tracking_uid)
        yield _outline_group(inputs, lesion, source, uid)


def _outline_group(
    inputs: ReportInputs, lesion: LesionResult, source: SourceImage, tracking_uid: str
) -> MeasurementsAndQualitativeEvaluations:
    outline = CoordinatesForMeasurement(
        GraphicTypeValues.POLYLINE,
        closed_outline(lesion.contour),
        _region_source(source, lesion.frame_number),
    )
    group = MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(tracking_uid, f"{_FREEHAND}{lesion.tracking_id}"),
        finding_category=concepts.ABNORMAL_STRUCTURE,
        finding_type=concepts.LESION,
        algorithm_id=_outline_algorithm(inputs, lesion),
        finding_sites=[_finding_site(source)],
        **_lesion_findings(inputs, lesion, outline),
        source_images=[
            SourceImageForMeasurementGroup(
                source.header.sop_class_uid,
                source.header.sop_instance_uid,
                source.frames(lesion.frame_number),
            )
        ],
    )
    content = group[0].ContentSequence
    content.insert(
        2,
        UIDRefContentItem(
            concepts.LESION_IDENTIFIER, lesion.tracking_uid, RelationshipTypeValues.HAS_OBS_CONTEXT
        ),
    )
    content.append(_comment(label_lesion(lesion, inputs.review)))
    return group


def _mask_groups(
    inputs: ReportInputs, image: ImageResult, source: SourceImage
) -> Iterator[PlanarROIMeasurementsAndQualitativeEvaluations]:
    """Yield TID 1410 for each frame of the segmentation that holds a lesion.

    They follow a group with an outline and the same tracking UID, with which OHIF merges them.
    """
    outlined = {lesion.tracking_uid for lesion in image.lesions if len(lesion.contour) > 2}
    for lesion in image.lesions:
        mask = inputs.masks.get((lesion.tracking_uid, lesion.frame_number))
        if mask and lesion.tracking_uid in outlined:
            yield _mask_group(inputs, lesion, source, mask)


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
    return PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(lesion.tracking_uid, lesion.tracking_id),
        referenced_segment=frame,
        finding_category=concepts.ABNORMAL_STRUCTURE,
        finding_type=concepts.LESION,
        algorithm_id=_outline_algorithm(inputs, lesion),
        finding_sites=[_finding_site(source)],
        **_lesion_findings(inputs, lesion),
    )


def _outline_algorithm(
    inputs: ReportInputs, lesion: LesionResult
) -> AlgorithmIdentification | None:
    """Return TID 4019 for an outline of the networks, or None for one of the reader."""
    return inputs.algorithm if lesion.origin == "network" else None


def _lesion_findings(
    inputs: ReportInputs, lesion: LesionResult, outline: CoordinatesForMeasurement | None = None
) -> _Findings:
    """Return the sizes and, if the outline is that of the networks, their classification."""
    measurements = _sizes(lesion, outline)
    if lesion.origin != "network":
        return {"measurements": measurements, "qualitative_evaluations": None}
    return {
        "measurements": [*measurements, _probability_of_cancer(lesion.probabilities)],
        "qualitative_evaluations": _class_evaluations(inputs, lesion),
    }


def _sizes(lesion: LesionResult, outline: CoordinatesForMeasurement | None) -> list[Measurement]:
    """Return the area first, which OHIF takes for that of `outline`."""
    size, size_mm = lesion.measurements, lesion.measurements.size_mm
    names = (concepts.AREA, concepts.LONG_AXIS, concepts.SHORT_AXIS)
    if size_mm:
        values = size_mm.area_mm2, size_mm.long_axis_mm, size_mm.short_axis_mm
        units = concepts.MM2, concepts.MM, concepts.MM
    else:
        values = size.area_px, size.long_axis_px, size.short_axis_px
        units = (concepts.PIXELS,) * 3
    coordinates = ([outline] if outline else None), None, None
    return [
        Measurement(
            name=name, value=round(float(value), 2), unit=unit, referenced_coordinates=source
        )
        for name, value, unit, source in zip(names, values, units, coordinates, strict=True)
    ]


def _probability_of_cancer(
    probabilities: Probabilities, region: CoordinatesForMeasurement | None = None
) -> Measurement:
    malignant = probabilities[CLASSES.index(MALIGNANT)]
    return Measurement(
        name=concepts.PROBABILITY_OF_CANCER,
        value=_percent(malignant),
        unit=concepts.PERCENT,
        referenced_coordinates=[region] if region else None,
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
