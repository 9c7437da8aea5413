"""Segmentations read back.

As in `dicom.results.verify`, nothing here shares code with the builders, nor with highdicom.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.utils import unpack_bits

from dicom.errors import ReadBackMismatch
from dicom.files import read_dataset
from dicom.results.model import ImageResult, LesionResult
from dicom.results.verify import taken_apart

_FULL: Final = 255
"""Certainty, in a FRACTIONAL segmentation."""
_BACKGROUND: Final = 0
"""Segment Number of what is no segment, in a label map (PS3.3 C.8.20.4)."""


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


def read_back_segmentation(path: Path) -> ReadSegmentation:
    """Read a segmentation of any type. Raises NotDicom, TruncatedFile, ReadBackMismatch."""
    return taken_apart(read_dataset(path), _segmentation, "the segmentation")


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
