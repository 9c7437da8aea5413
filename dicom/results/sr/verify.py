"""Reads and verifies structured reports. See `dicom.results.verify`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import SegmentationStorage

from dicom import codes as concepts
from dicom.errors import ReadBackMismatch
from dicom.files import read_dataset
from dicom.images.header import read_header
from dicom.results.model import (
    ImageResult,
    LesionResult,
    SignedReview,
    StudyResult,
    apply_review,
)
from dicom.results.verify import (
    graphic_points,
    parsing,
    referenced_frames,
    verify_outline,
)
from dicom.storage_classes import MULTI_FRAME
from dicom.terms.classification import CLASSES, UNDECIDED, Probabilities

_LABELS: Final = {code.value: label for label, code in concepts.CLASS.items()}
_DECISIONS: Final = {code.value: decision for decision, code in concepts.DECISION.items()}
_BIRADS: Final = {code.value: category for category, code in concepts.BIRADS.items()}
_COMMENT: Final = concepts.COMMENT.value
_LESION_IDENTIFIER: Final = concepts.LESION_IDENTIFIER.value
_IMAGE_REGION: Final = "111030"
_TRACKING_UID: Final = "112040"
_TRACKING_IDENTIFIER: Final = "112039"
_MEASUREMENT_GROUP: Final = "125007"
_PERCENT_STEP: Final = 0.1


@dataclass(frozen=True)
class ReadLesion:
    """A measurement group of a lesion on one frame, by a segmentation frame or by an outline."""

    tracking_uid: str
    """Of the lesion. The group of an outline may have another one: `group_uid`."""
    group_uid: str
    tracking_id: str
    segmentation_uid: str
    """SOP Instance UID of the segmentation; empty for an outline."""
    frame: int
    """1-based; 1 for a still."""
    outline: tuple[tuple[float, float], ...]
    """(x, y) in pixels with the closing point; empty for a segmentation frame."""
    measurements: Mapping[str, tuple[float, str]]
    """Value and UCUM unit by code value."""
    label: str
    """Empty for a segmentation frame."""


@dataclass(frozen=True)
class ReadStatement:
    """A measurement group that states no finding: a label on an image."""

    sop_instance_uid: str
    """Of the image."""
    label: str


@dataclass(frozen=True)
class ReadImage:
    """A measurement group with the class of an image."""

    tracking_uid: str
    label: str | None
    """None when undecided or not stated."""
    probabilities: Probabilities | None
    undecided: bool
    frames: tuple[int, ...]
    """1-based frames that were classified; empty for a still and for a whole cine."""
    text: str
    """What viewers show: the classes of the image and of the study."""


@dataclass(frozen=True)
class ReadReport:
    """A report as stored."""

    sop_instance_uid: str
    verified: bool
    final: bool
    label: str | None
    undecided: bool
    """Whether the class of the study is undecided."""
    probabilities: Probabilities | None
    images: tuple[ReadImage, ...]
    lesions: tuple[ReadLesion, ...]
    statements: tuple[ReadStatement, ...]
    refusals: tuple[str, ...]
    """Refusal codes, in the order of the images."""
    predecessor_uid: str | None
    reader_name: str
    decision: str | None
    birads: str | None
    comments: tuple[str, ...]


def read_back_report(path: Path) -> ReadReport:
    """Read a report that Sonogate created. Raises NotDicom, TruncatedFile, ReadBackMismatch."""
    dataset = read_dataset(path)
    with parsing("the report"):
        groups = [item for item in _walk(dataset) if _name(item) == _MEASUREMENT_GROUP]
        conclusions = list(_walk(_child(dataset, concepts.QUALITATIVE_EVALUATIONS.value)))
        impression = _code_value(conclusions, concepts.IMPRESSION.value)
        predecessors = dataset.get("PredecessorDocumentsSequence", [])
        observers = dataset.get("VerifyingObserverSequence", [])
        return ReadReport(
            sop_instance_uid=str(dataset.SOPInstanceUID),
            verified=dataset.VerificationFlag == "VERIFIED",
            final=dataset.PreliminaryFlag == "FINAL",
            label=_LABELS.get(impression),
            undecided=impression == concepts.UNDECIDED.value,
            probabilities=_parse_probabilities(conclusions),
            images=tuple(map(_parse_image, filter(_is_image, groups))),
            lesions=tuple(map(_parse_lesion, filter(_is_lesion, groups))),
            statements=tuple(map(_parse_statement, filter(_is_statement, groups))),
            refusals=tuple(
                str(item.TextValue).partition("]")[0].removeprefix("[")
                for item in conclusions
                if _name(item) == concepts.REFUSED_IMAGE.value
            ),
            predecessor_uid=str(
                predecessors[0]
                .ReferencedSeriesSequence[0]
                .ReferencedSOPSequence[0]
                .ReferencedSOPInstanceUID
            )
            if predecessors
            else None,
            reader_name=str(observers[0].VerifyingObserverName) if observers else "",
            decision=_DECISIONS.get(_code_value(conclusions, concepts.READER_DECISION.value)),
            birads=_BIRADS.get(_code_value(conclusions, concepts.OVERALL_ASSESSMENT.value)),
            comments=tuple(
                str(item.TextValue) for item in conclusions if _name(item) == concepts.COMMENT.value
            ),
        )


def verify_report(
    path: Path, result: StudyResult, review: SignedReview | None = None
) -> ReadReport:
    """Read `path`. Raises ReadBackMismatch unless it agrees with `result` and its `review`."""
    report = read_back_report(path)
    images = _restated_images(result, review)
    label = None if result.undecided else result.label
    undecided = {image.tracking_uid for image in images if image.undecided}
    if review is not None:
        label = review.final_label
        if review.decision != "accept":
            undecided = set()
    tracking_uids = {image.tracking_uid for image in images}
    tracking_uids |= {lesion.tracking_uid for image in images for lesion in image.lesions}
    stored_uids = {image.tracking_uid for image in report.images}
    stored_uids |= {lesion.tracking_uid for lesion in report.lesions}
    expected = {
        "the class": (report.label, label),
        "whether the class is undecided": (report.undecided, result.undecided and review is None),
        "the list of undecided images": (
            {image.tracking_uid for image in report.images if image.undecided},
            undecided,
        ),
        "the verification": (report.verified, review is not None),
        "the list of refusals": (
            report.refusals,
            tuple(refusal.reason.code for refusal in result.refused_images),
        ),
        "the list of tracking UIDs": (stored_uids, tracking_uids),
    }
    if review is not None:
        expected["the decision"] = (report.decision, review.decision)
        expected["the BI-RADS category"] = (report.birads, review.birads)
    elif not _are_close(report.probabilities, result.probabilities):
        raise ReadBackMismatch("the probabilities differ")
    for name, (stored, stated) in expected.items():
        if stored != stated:
            raise ReadBackMismatch(f"{name} differs")
    _verify_images(report, images)
    _verify_lesions(report, images)
    _verify_groups(report)
    _verify_labels(report, result, images, review)
    _verify_statements(report, result, review)
    return report


def _restated_images(result: StudyResult, review: SignedReview | None) -> tuple[ImageResult, ...]:
    """Return the images whose findings the report restates, with the outlines of the reader."""
    if review is None:
        return result.images
    return apply_review(result, review).images if review.decision != "reject" else ()


def _verify_images(report: ReadReport, images: tuple[ImageResult, ...]) -> None:
    """Raise ReadBackMismatch unless the class of a cine references the frames averaged for it."""
    by_tracking_uid = {image.tracking_uid: image for image in images}
    for stored in report.images:
        image = by_tracking_uid[stored.tracking_uid]
        header, frames = read_header(image.source), image.averaged_frames
        is_cine = header.sop_class_uid in MULTI_FRAME
        if not is_cine or len(frames) == header.number_of_frames > 1:
            frames = ()  # references to a still or to all frames contain no frame numbers
        if stored.frames != frames:
            raise ReadBackMismatch("the frames of a class differ")


def _verify_lesions(report: ReadReport, images: tuple[ImageResult, ...]) -> None:
    """Raise ReadBackMismatch unless outlines and segmentation frames are those of the lesions."""
    lesions = {
        (lesion.tracking_uid, lesion.frame_number): lesion
        for image in images
        for lesion in image.lesions
    }
    drawn = {}
    segmented = set()
    for stored in report.lesions:
        key = stored.tracking_uid, stored.frame
        if stored.outline:
            drawn[key] = stored
        else:
            segmented.add(key)
    outlined = {key for key, lesion in lesions.items() if len(lesion.contour) > 2}
    if drawn.keys() != outlined or segmented - lesions.keys():
        raise ReadBackMismatch("the frames of the lesions differ")
    for key, stored in drawn.items():
        verify_outline(np.array(stored.outline), np.array(lesions[key].contour))


def _verify_groups(report: ReadReport) -> None:
    """Raise ReadBackMismatch unless OHIF can draw every group.

    It merges the groups of a tracking UID, takes the first of them for the outline, and draws
    nothing of a report in which it finds none.
    """
    drawn: set[str] = set()
    for lesion in report.lesions:
        if lesion.outline and lesion.group_uid in drawn:
            raise ReadBackMismatch("two outlines have the same tracking UID")
        if not lesion.outline and lesion.group_uid not in drawn:
            raise ReadBackMismatch("a segmentation frame has no outline before it")
        drawn.add(lesion.group_uid)


def _verify_labels(
    report: ReadReport,
    result: StudyResult,
    images: tuple[ImageResult, ...],
    review: SignedReview | None,
) -> None:
    """Raise ReadBackMismatch unless the labels that viewers show name the same classes."""
    lesions = {
        (lesion.tracking_uid, lesion.frame_number): lesion
        for image in images
        for lesion in image.lesions
    }
    by_tracking_uid = {image.tracking_uid: image for image in images}
    restated = review is None or review.decision == "accept"
    for stored in report.lesions:
        lesion = lesions[stored.tracking_uid, stored.frame]
        said = {_class_of(lesion)} if restated and lesion.origin == "network" else set()
        if stored.outline and _classes_in(stored.label) != said:
            raise ReadBackMismatch("the label of a lesion differs")
    for read in report.images:
        image = by_tracking_uid[read.tracking_uid]
        said = {_class_of(image)} if restated else set()
        if review is None:
            said.add(_class_of(result))
        elif review.final_label is not None:
            said.add(review.final_label)
        if _classes_in(read.text) != said or not _names_category(read.text, review):
            raise ReadBackMismatch("the label of an image differs")


def _verify_statements(
    report: ReadReport, result: StudyResult, review: SignedReview | None
) -> None:
    """Raise ReadBackMismatch unless the other images have a label, which states the review."""
    images = result.images if review is not None and review.decision == "reject" else ()
    labeled = {image.sop_instance_uid for image in images}
    stored = {statement.sop_instance_uid for statement in report.statements}
    refused = {refusal.sop_instance_uid for refusal in result.refused_images}
    if stored - refused != labeled:  # a refused image that cannot be read has none
        raise ReadBackMismatch("the images without a finding differ")
    if not all(_names_category(statement.label, review) for statement in report.statements):
        raise ReadBackMismatch("the label of an image differs")


def _class_of(classified: ImageResult | LesionResult | StudyResult) -> str:
    return UNDECIDED if classified.undecided or not classified.label else classified.label


def _classes_in(label: str) -> set[str]:
    text, _, _ = label.partition("signed by")  # a name may be any word
    return {name for name in (*CLASSES, UNDECIDED) if f" {name}" in text}


def _names_category(label: str, review: SignedReview | None) -> bool:
    if review is None or review.birads is None:
        return "BI-RADS" not in label
    return f"BI-RADS {review.birads}," in label


def _are_close(stored: Probabilities | None, stated: Probabilities | None) -> bool:
    if stored is None or stated is None:
        return stored is stated
    return bool(np.allclose(stored, stated, rtol=0, atol=_PERCENT_STEP / 100))


# --------------------------------------------------------------------------- parsing


def _walk(item: Dataset) -> Iterator[Dataset]:
    """Yield every content item below `item`, depth first."""
    for child in item.get("ContentSequence", []):
        yield child
        yield from _walk(child)


def _name(item: Dataset) -> str:
    names = item.get("ConceptNameCodeSequence")
    return str(names[0].CodeValue) if names else ""


def _child(item: Dataset, name: str) -> Dataset:
    children: list[Dataset] = [child for child in item.ContentSequence if _name(child) == name]
    return children[0]


def _code_value(items: list[Dataset], name: str) -> str:
    values = (item.ConceptCodeSequence[0].CodeValue for item in items if _name(item) == name)
    return str(next(values, ""))


def _parse_probabilities(items: list[Dataset]) -> Probabilities | None:
    percents = {}
    for item in items:
        if _name(item) == concepts.CLASSIFIER_OUTPUT.value:
            label = _LABELS[str(item.ConceptCodeSequence[0].CodeValue)]
            percents[label], _ = _parse_number(_child(item, concepts.PROBABILITY.value))
    if not percents:
        return None
    normal, benign, malignant = (percents[label] / 100 for label in CLASSES)
    return normal, benign, malignant


def _parse_number(item: Dataset) -> tuple[float, str]:
    value = item.MeasuredValueSequence[0]
    return float(value.NumericValue), str(value.MeasurementUnitsCodeSequence[0].CodeValue)


def _has(group: Dataset, name: str) -> bool:
    return any(_name(item) == name for item in group.ContentSequence)


def _is_lesion(group: Dataset) -> bool:
    return _has(group, _LESION_IDENTIFIER) or any(map(_segmentation_uid, _walk(group)))


def _is_statement(group: Dataset) -> bool:
    return _has(group, _IMAGE_REGION) and not _is_lesion(group)


def _is_image(group: Dataset) -> bool:
    return not _is_lesion(group) and not _is_statement(group)


def _segmentation_uid(item: Dataset) -> str:
    for reference in item.get("ReferencedSOPSequence", []):
        if reference.ReferencedSOPClassUID == SegmentationStorage:
            return str(reference.ReferencedSOPInstanceUID)
    return ""


def _parse_image(group: Dataset) -> ReadImage:
    items = list(_walk(group))
    impression = _code_value(items, concepts.IMPRESSION.value)
    images = [item for item in group.ContentSequence if item.ValueType == "IMAGE"]
    return ReadImage(
        tracking_uid=str(_child(group, _TRACKING_UID).UID),
        label=_LABELS.get(impression),
        probabilities=_parse_probabilities(items),
        undecided=impression == concepts.UNDECIDED.value,
        frames=referenced_frames(images[0].ReferencedSOPSequence[0]) if images else (),
        text=_parse_comment(group),
    )


def _parse_comment(group: Dataset) -> str:
    return str(_child(group, _COMMENT).TextValue) if _has(group, _COMMENT) else ""


def _parse_statement(group: Dataset) -> ReadStatement:
    (source,) = _child(group, _IMAGE_REGION).ContentSequence
    return ReadStatement(
        str(source.ReferencedSOPSequence[0].ReferencedSOPInstanceUID), _parse_comment(group)
    )


def _parse_lesion(group: Dataset) -> ReadLesion:
    items = list(_walk(group))
    outlines = [item for item in items if "GraphicData" in item]
    segmentation_uids = [uid for item in items if (uid := _segmentation_uid(item))]
    (source,) = [
        item
        for item in (outlines[0].ContentSequence if outlines else items)
        if item.ValueType == "IMAGE" and not _segmentation_uid(item)
    ]
    frames = referenced_frames(source.ReferencedSOPSequence[0])
    group_uid = str(_child(group, _TRACKING_UID).UID)
    points = graphic_points(outlines[0]).tolist() if outlines else ()
    return ReadLesion(
        tracking_uid=str(_child(group, _LESION_IDENTIFIER).UID) if outlines else group_uid,
        group_uid=group_uid,
        tracking_id=str(_child(group, _TRACKING_IDENTIFIER).TextValue).rpartition(":")[2],
        segmentation_uid=segmentation_uids[0] if segmentation_uids else "",
        frame=frames[0] if frames else 1,
        outline=tuple((x, y) for x, y in points),
        measurements={
            _name(item): _parse_number(item)
            for item in group.ContentSequence
            if item.ValueType == "NUM"
        },
        label=_parse_comment(group),
    )
