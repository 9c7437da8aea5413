"""Result objects read back from disk, to prove that what was meant is what is there.

Nothing here shares code with the builders, nor with highdicom: a mistake made there shows here.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.pixels.utils import unpack_bits

from dicom import codes as concepts
from dicom.classes import MULTI_FRAME
from dicom.errors import ReadBackMismatch
from dicom.files import encode
from dicom.header import read_header
from dicom.reading import open_dataset
from dicom.results import (
    CLASSES,
    ImageResult,
    LesionResult,
    Probabilities,
    SignedReview,
    StudyResult,
    as_reviewed,
)

_LABELS: Final = {code.value: label for label, code in concepts.CLASS.items()}
_DECISIONS: Final = {code.value: decision for decision, code in concepts.DECISION.items()}
_BIRADS: Final = {code.value: category for category, code in concepts.BIRADS.items()}
_TRACKING_UID: Final = "112040"
_TRACKING_IDENTIFIER: Final = "112039"
_MEASUREMENT_GROUP: Final = "125007"
_PERCENT_STEP: Final = 0.1
_FULL: Final = 255
"""Certainty, in a FRACTIONAL segmentation."""
_BACKGROUND: Final = 0
"""Segment Number of what is no segment, in a label map (PS3.3 C.8.20.4)."""
_POINTS_THAT_MAY_THIN_OUT: Final = 4000
"""An outline of more than these may come without every second point, or without more."""
_HALF_A_PIXEL: Final = 0.5
_Read = TypeVar("_Read")


@dataclass(frozen=True, eq=False)
class ReadSegment:
    """A segment as stored; `tracking_uid` is empty where it tracks nothing."""

    number: int
    tracking_uid: str
    tracking_id: str
    algorithm_type: str
    """Segment Algorithm Type (0062,0008)."""
    planes: Mapping[int, NDArray[np.uint8]]
    """(rows, columns) by 1-based frame of the source image; a still has frame 1. 0 to 255 where
    the segmentation is FRACTIONAL, else 0 and 1."""

    @property
    def masks(self) -> Mapping[int, NDArray[np.bool_]]:
        """Where the planes are not 0, of those frames that show something."""
        return {frame: plane != 0 for frame, plane in self.planes.items() if plane.any()}


@dataclass(frozen=True, eq=False)
class ReadSegmentation:
    sop_instance_uid: str
    source_sop_instance_uid: str
    encoding: str
    """Segmentation Type (0062,0001)."""
    segments: tuple[ReadSegment, ...]


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


def read_back_segmentation(path: Path) -> ReadSegmentation:
    """Read a segmentation of any type. Raises NotDicom, TruncatedFile, ReadBackMismatch."""
    return taken_apart(open_dataset(path), _segmentation, "the segmentation")


def read_back_report(path: Path) -> ReadReport:
    """Read a report of ours. Raises NotDicom, TruncatedFile, ReadBackMismatch."""
    return taken_apart(open_dataset(path), _report, "the report")


def verify_written(path: Path, expected: Dataset) -> None:
    """Raise ReadBackMismatch unless `path` holds `expected` byte for byte."""
    if path.read_bytes() != encode(expected):
        raise ReadBackMismatch("the bytes are not those of the object")


def verify_segmentation(path: Path, image: ImageResult) -> ReadSegmentation:
    """Read `path` back; raise ReadBackMismatch unless it holds `image`'s lesions to the pixel.

    A FRACTIONAL one must hold their probabilities. Where lesions overlap in a LABELMAP, the
    smaller one must have the pixel, the first one when they are equal.
    """
    found = read_back_segmentation(path)
    if found.source_sop_instance_uid != image.sop_instance_uid:
        raise ReadBackMismatch("the segmentation names another image")
    planes = {
        (segment.tracking_uid, frame): plane
        for segment in found.segments
        for frame, plane in segment.planes.items()
    }
    meant = {
        (lesion.tracking_uid, lesion.frame_number): _meant(lesion, image, found.encoding)
        for lesion in image.lesions
    }
    if meant.keys() - planes.keys():
        raise ReadBackMismatch("the segmentation lacks a lesion or a frame")
    for key, plane in planes.items():
        if key not in meant:
            if plane.any():
                raise ReadBackMismatch("the segmentation holds other lesions or frames")
        elif not np.array_equal(plane, meant[key]):
            raise ReadBackMismatch("a lesion's pixels differ")
    return found


def _meant(lesion: LesionResult, image: ImageResult, encoding: str) -> NDArray[np.generic]:
    if encoding == "FRACTIONAL":
        certain = lesion.mask * np.uint8(_FULL)
        return certain if lesion.probability is None else lesion.probability
    if encoding == "BINARY":
        return lesion.mask
    order = list(dict.fromkeys(other.tracking_uid for other in image.lesions))
    visible = lesion.mask.copy()
    for other in image.lesions:
        if other.frame_number == lesion.frame_number and _rank(other, order) < _rank(lesion, order):
            visible &= ~other.mask
    return visible


def _rank(lesion: LesionResult, order: list[str]) -> tuple[int, int]:
    return int(lesion.mask.sum()), order.index(lesion.tracking_uid)


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
            tuple(image.refusal.code for image in result.images if image.refusal),
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
        return result.analysed_images
    return as_reviewed(result, review).analysed_images if review.decision != "reject" else ()


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
    images = {image.tracking_uid for image in result.analysed_images if image.undecided}
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


# --------------------------------------------------------------------------- what readers share


def taken_apart(dataset: Dataset, reader: Callable[[Dataset], _Read], what: str) -> _Read:
    """Return what `reader` reads; raise ReadBackMismatch where `dataset` is not built that way."""
    try:
        return reader(dataset)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise ReadBackMismatch(f"{what} cannot be taken apart") from error


def named_image(uid: str, result: StudyResult) -> ImageResult:
    """Return the analysed image with this SOP Instance UID. Raises ReadBackMismatch."""
    for image in result.analysed_images:
        if image.sop_instance_uid == uid:
            return image
    raise ReadBackMismatch("it is of an image that the analysis does not have")


def is_cine(image: ImageResult) -> bool:
    """Tell whether references to it name frames."""
    return read_header(image.source).sop_class_uid in MULTI_FRAME


def referenced_frames(reference: Dataset) -> tuple[int, ...]:
    """Return Referenced Frame Number (0008,1160) of an item, empty where it names no frame."""
    numbers = reference.get("ReferencedFrameNumber")
    if numbers is None:
        return ()
    return tuple(map(int, numbers)) if isinstance(numbers, MultiValue) else (int(numbers),)


def outline_of(graphic: Dataset) -> NDArray[np.float64]:
    """Return the (x, y) of Graphic Data (0070,0022), (n, 2), in pixels."""
    return np.reshape(np.asarray(graphic.GraphicData, dtype=np.float64), (-1, 2))


def verify_outline(drawn: NDArray[np.float64], contour: NDArray[np.float64]) -> None:
    """Raise ReadBackMismatch unless `drawn`, (n + 1, 2), is `contour`, (n, 2), closed, each point
    within half a pixel. Of thousands of points every second one may be gone, or more.
    """
    points = drawn[:-1]
    step = -(-len(contour) // max(len(points), 1))
    if step > 1 and len(contour) <= _POINTS_THAT_MAY_THIN_OUT:
        raise ReadBackMismatch("an outline lacks points")
    meant = contour[::step]
    if len(points) != len(meant) or not np.array_equal(drawn[-1], points[0]):
        raise ReadBackMismatch("an outline is another one")
    if np.abs(points - meant).max() > _HALF_A_PIXEL:
        raise ReadBackMismatch("an outline lies elsewhere")


# --------------------------------------------------------------------------- segmentation


def _segmentation(dataset: Dataset) -> ReadSegmentation:
    stored = dict(_label_planes(dataset) if _is_labelmap(dataset) else _planes(dataset))
    segments = []
    for item in dataset.SegmentSequence:
        number = int(item.SegmentNumber)
        if number == _BACKGROUND:
            continue
        frames = {frame: plane for (segment, frame), plane in stored.items() if segment == number}
        uid, identifier = str(item.get("TrackingUID", "")), str(item.get("TrackingID", ""))
        kind = str(item.SegmentAlgorithmType)
        segments.append(ReadSegment(number, uid, identifier, kind, frames))
    series = dataset.ReferencedSeriesSequence[0]
    return ReadSegmentation(
        sop_instance_uid=str(dataset.SOPInstanceUID),
        source_sop_instance_uid=str(series.ReferencedInstanceSequence[0].ReferencedSOPInstanceUID),
        encoding=str(dataset.SegmentationType),
        segments=tuple(segments),
    )


def _is_labelmap(dataset: Dataset) -> bool:
    return str(dataset.SegmentationType) == "LABELMAP"


def _frames(dataset: Dataset) -> Iterator[tuple[Dataset, int, NDArray[np.uint8]]]:
    """Yield functional groups, frame of the source and pixels of each frame."""
    shape = int(dataset.NumberOfFrames), int(dataset.Rows), int(dataset.Columns)
    if dataset.BitsAllocated == 1:
        values = np.asarray(unpack_bits(dataset.PixelData), dtype=np.uint8)
    else:
        values = np.frombuffer(dataset.PixelData, dtype=np.uint8)
    planes = values[: np.prod(shape)].reshape(shape)
    for item, plane in zip(dataset.PerFrameFunctionalGroupsSequence, planes, strict=True):
        image = item.DerivationImageSequence[0].SourceImageSequence[0]
        yield item, int(image.get("ReferencedFrameNumber", 1)), plane


def _planes(dataset: Dataset) -> Iterator[tuple[tuple[int, int], NDArray[np.uint8]]]:
    shared = dataset.SharedFunctionalGroupsSequence[0]
    for item, frame, plane in _frames(dataset):
        named = item if "SegmentIdentificationSequence" in item else shared
        yield (int(named.SegmentIdentificationSequence[0].ReferencedSegmentNumber), frame), plane


def _label_planes(dataset: Dataset) -> Iterator[tuple[tuple[int, int], NDArray[np.uint8]]]:
    numbers = [int(item.SegmentNumber) for item in dataset.SegmentSequence]
    for _, frame, plane in _frames(dataset):
        for number in numbers:
            if number != _BACKGROUND:
                yield (number, frame), (plane == number).astype(np.uint8)


# --------------------------------------------------------------------------- report


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
