"""Structured reports read back.

As in `dicom.results.verify`, nothing here shares code with the builders, nor with highdicom.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from pydicom.dataset import Dataset

from dicom import codes as concepts
from dicom.errors import ReadBackMismatch
from dicom.files import read_dataset
from dicom.images.header import read_header
from dicom.results.model import ImageResult, SignedReview, StudyResult, as_reviewed
from dicom.results.verify import outline_of, referenced_frames, taken_apart, verify_outline
from dicom.storage_classes import MULTI_FRAME
from dicom.terms.classification import CLASSES, Probabilities

_LABELS: Final = {code.value: label for label, code in concepts.CLASS.items()}
_DECISIONS: Final = {code.value: decision for decision, code in concepts.DECISION.items()}
_BIRADS: Final = {code.value: category for category, code in concepts.BIRADS.items()}
_TRACKING_UID: Final = "112040"
_TRACKING_IDENTIFIER: Final = "112039"
_MEASUREMENT_GROUP: Final = "125007"
_PERCENT_STEP: Final = 0.1


@dataclass(frozen=True)
class ReadLesion:
    """One measurement group with a region: by its segmentation, or by its outline."""

    tracking_uid: str
    tracking_id: str
    segmentation_uid: str
    """SOP Instance UID of the segmentation; empty for an outline."""
    frame: int
    """1-based; 1 for a still."""
    outline: tuple[tuple[float, float], ...]
    """(x, y) in pixels, the closing point included; none for a segmentation."""
    measurements: Mapping[str, tuple[float, str]]
    """Value and UCUM unit by code value."""


@dataclass(frozen=True)
class ReadImage:
    """One measurement group without a region: the class of an image."""

    tracking_uid: str
    label: str | None
    """None when it is undecided, or not stated."""
    probabilities: Probabilities | None
    undecided: bool
    frames: tuple[int, ...]
    """1-based, those that it is of; none for a still, nor for a whole cine."""


@dataclass(frozen=True)
class ReadReport:
    sop_instance_uid: str
    verified: bool
    final: bool
    label: str | None
    undecided: bool
    """The class of the study is stated to be indeterminate."""
    probabilities: Probabilities | None
    images: tuple[ReadImage, ...]
    lesions: tuple[ReadLesion, ...]
    refusals: tuple[str, ...]
    """The codes, in the order of the images."""
    predecessor_uid: str | None
    reader_name: str
    decision: str | None
    birads: str | None
    comments: tuple[str, ...]


def read_back_report(path: Path) -> ReadReport:
    """Read a report of ours. Raises NotDicom, TruncatedFile, ReadBackMismatch."""
    return taken_apart(read_dataset(path), _report, "the report")


def verify_report(
    path: Path, result: StudyResult, review: SignedReview | None = None
) -> ReadReport:
    """Read `path` back; raise ReadBackMismatch unless it says what `result`, or `review`, says."""
    found, stated = read_back_report(path), _stated(result, review)
    expected = {
        "the class": (found.label, _expected_label(result, review)),
        "what is undecided": (_undecided(found), _expected_undecided(result, review)),
        "the verification": (found.verified, review is not None),
        "the refusals": (
            found.refusals,
            tuple(refusal.reason.code for refusal in result.refused_images),
        ),
        "the tracking UIDs": (_tracking_uids(found), _expected_tracking_uids(stated)),
    }
    if review is not None:
        expected["the decision"] = (found.decision, review.decision)
        expected["the BI-RADS category"] = (found.birads, review.birads)
    elif not _same(found.probabilities, result.probabilities):
        raise ReadBackMismatch("the probabilities differ")
    for what, (there, meant) in expected.items():
        if there != meant:
            raise ReadBackMismatch(f"{what} differs")
    _verify_frames(found, stated)
    _verify_lesions(found, stated)
    return found


def _stated(result: StudyResult, review: SignedReview | None) -> tuple[ImageResult, ...]:
    """The images whose findings the report states, with the outlines that a reader left."""
    if review is None:
        return result.images
    return as_reviewed(result, review).images if review.decision != "reject" else ()


def _verify_frames(found: ReadReport, stated: Collection[ImageResult]) -> None:
    """The class of a cine is of the very frames that were averaged for it."""
    meant = {image.tracking_uid: image for image in stated}
    for read in found.images:
        if read.frames != _averaged_frames(meant[read.tracking_uid]):
            raise ReadBackMismatch("the frames of a class differ")


def _verify_lesions(found: ReadReport, stated: Collection[ImageResult]) -> None:
    """Each outline is a lesion's on its frame, and each segmentation's frame shows one."""
    meant = {
        (lesion.tracking_uid, lesion.frame_number): lesion
        for image in stated
        for lesion in image.lesions
    }
    drawn = {(read.tracking_uid, read.frame): read for read in found.lesions if read.outline}
    masks = {(read.tracking_uid, read.frame) for read in found.lesions if not read.outline}
    outlined = {key for key, lesion in meant.items() if len(lesion.contour) > 2}
    if drawn.keys() != outlined or masks - meant.keys():
        raise ReadBackMismatch("the frames of the lesions differ")
    for key, read in drawn.items():
        verify_outline(np.array(read.outline), np.array(meant[key].contour))


def _averaged_frames(image: ImageResult) -> tuple[int, ...]:
    """As a report names them: none of a still, nor when they are all that there are."""
    header, frames = read_header(image.source), image.averaged_frames
    if header.sop_class_uid not in MULTI_FRAME or len(frames) == header.number_of_frames > 1:
        return ()
    return frames


def _expected_label(result: StudyResult, review: SignedReview | None) -> str | None:
    if review is not None:
        return review.final_label
    return None if result.undecided else result.label


def _undecided(report: ReadReport) -> tuple[bool, set[str]]:
    """The study, and the images by their tracking UIDs."""
    return report.undecided, {image.tracking_uid for image in report.images if image.undecided}


def _expected_undecided(result: StudyResult, review: SignedReview | None) -> tuple[bool, set[str]]:
    if review is not None and review.decision != "accept":
        return False, set()
    images = {image.tracking_uid for image in result.images if image.undecided}
    return result.undecided and review is None, images


def _tracking_uids(report: ReadReport) -> set[str]:
    lesions = {lesion.tracking_uid for lesion in report.lesions}
    return lesions | {image.tracking_uid for image in report.images}


def _expected_tracking_uids(stated: Collection[ImageResult]) -> set[str]:
    images = {image.tracking_uid for image in stated}
    return images | {lesion.tracking_uid for image in stated for lesion in image.lesions}


def _same(found: Probabilities | None, meant: Probabilities | None) -> bool:
    if found is None or meant is None:
        return found is meant
    return bool(np.allclose(found, meant, rtol=0, atol=_PERCENT_STEP / 100))


def _report(dataset: Dataset) -> ReadReport:
    groups = [item for item in _walk(dataset) if _name(item) == _MEASUREMENT_GROUP]
    about = list(_walk(_child(dataset, concepts.QUALITATIVE_EVALUATIONS.value)))
    observers = dataset.get("VerifyingObserverSequence", [])
    return ReadReport(
        sop_instance_uid=str(dataset.SOPInstanceUID),
        verified=dataset.VerificationFlag == "VERIFIED",
        final=dataset.PreliminaryFlag == "FINAL",
        label=_LABELS.get(_coded(about, concepts.IMPRESSION.value)),
        undecided=_coded(about, concepts.IMPRESSION.value) == concepts.UNDECIDED.value,
        probabilities=_probabilities(about),
        images=tuple(_image(group) for group in groups if not _has_region(group)),
        lesions=tuple(_lesion(group) for group in groups if _has_region(group)),
        refusals=tuple(_refusal_codes(about)),
        predecessor_uid=_predecessor(dataset),
        reader_name=str(observers[0].VerifyingObserverName) if observers else "",
        decision=_DECISIONS.get(_coded(about, concepts.READER_DECISION.value)),
        birads=_BIRADS.get(_coded(about, concepts.OVERALL_ASSESSMENT.value)),
        comments=tuple(
            str(item.TextValue) for item in about if _name(item) == concepts.COMMENT.value
        ),
    )


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


def _coded(items: list[Dataset], name: str) -> str:
    values = (item.ConceptCodeSequence[0].CodeValue for item in items if _name(item) == name)
    return str(next(values, ""))


def _probabilities(items: list[Dataset]) -> Probabilities | None:
    found = {}
    for item in items:
        if _name(item) == concepts.CLASSIFIER_OUTPUT.value:
            label = _LABELS[str(item.ConceptCodeSequence[0].CodeValue)]
            found[label], _ = _measured(_child(item, concepts.PROBABILITY.value))
    if not found:
        return None
    normal, benign, malignant = (found[label] / 100 for label in CLASSES)
    return normal, benign, malignant


def _measured(item: Dataset) -> tuple[float, str]:
    value = item.MeasuredValueSequence[0]
    return float(value.NumericValue), str(value.MeasurementUnitsCodeSequence[0].CodeValue)


def _has_region(group: Dataset) -> bool:
    return any(_segmentation_uid(item) or "GraphicData" in item for item in _walk(group))


def _segmentation_uid(item: Dataset) -> str:
    segmentation_class = "1.2.840.10008.5.1.4.1.1.66.4"
    for reference in item.get("ReferencedSOPSequence", []):
        if reference.ReferencedSOPClassUID == segmentation_class:
            return str(reference.ReferencedSOPInstanceUID)
    return ""


def _image(group: Dataset) -> ReadImage:
    items = list(_walk(group))
    impression = _coded(items, concepts.IMPRESSION.value)
    return ReadImage(
        str(_child(group, _TRACKING_UID).UID),
        _LABELS.get(impression),
        _probabilities(items),
        impression == concepts.UNDECIDED.value,
        next((referenced_frames(item.ReferencedSOPSequence[0]) for item in _images(items)), ()),
    )


def _images(items: list[Dataset]) -> Iterator[Dataset]:
    return (item for item in items if item.ValueType == "IMAGE")


def _lesion(group: Dataset) -> ReadLesion:
    items = list(_walk(group))
    drawn = [outline_of(item).tolist() for item in items if "GraphicData" in item]
    (source,) = [item for item in _images(items) if not _segmentation_uid(item)]
    numbers = {
        _name(item): _measured(item) for item in group.ContentSequence if item.ValueType == "NUM"
    }
    return ReadLesion(
        tracking_uid=str(_child(group, _TRACKING_UID).UID),
        tracking_id=str(_child(group, _TRACKING_IDENTIFIER).TextValue),
        segmentation_uid=next(filter(None, map(_segmentation_uid, items)), ""),
        frame=(*referenced_frames(source.ReferencedSOPSequence[0]), 1)[0],
        outline=tuple((x, y) for x, y in drawn[0]) if drawn else (),
        measurements=numbers,
    )


def _refusal_codes(items: list[Dataset]) -> Iterator[str]:
    for item in items:
        if _name(item) == concepts.REFUSED_IMAGE.value:
            yield str(item.TextValue).partition("]")[0].removeprefix("[")


def _predecessor(dataset: Dataset) -> str | None:
    for study in dataset.get("PredecessorDocumentsSequence", []):
        reference = study.ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
        return str(reference.ReferencedSOPInstanceUID)
    return None
