"""Reads any Segmentation object (PS3.3 A.51, A.90) as arrays.

Like `dicom.results.verify`, it shares no code with the builders or with highdicom.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.utils import unpack_bits

from dicom.files import read_dataset
from dicom.results.verify import parsing

_BACKGROUND: Final = 0
"""Segment Number of the background in a label map (PS3.3 C.8.20.4)."""


@dataclass(frozen=True, eq=False)
class ReadSegment:
    """A segment as stored. `tracking_uid` is empty when the segment has none."""

    number: int
    tracking_uid: str
    tracking_id: str
    algorithm_type: str
    """Segment Algorithm Type (0062,0008)."""
    planes: Mapping[int, NDArray[np.uint8]]
    """(rows, columns) by 1-based frame of the source image; a still has frame 1. Values are 0 to
    255 in a FRACTIONAL segmentation, otherwise 0 and 1."""

    @property
    def masks(self) -> Mapping[int, NDArray[np.bool_]]:
        """The nonzero pixels by frame, without empty frames."""
        return {frame: plane != 0 for frame, plane in self.planes.items() if plane.any()}


@dataclass(frozen=True, eq=False)
class ReadSegmentation:
    """A Segmentation object as stored."""

    sop_instance_uid: str
    source_sop_instance_uid: str
    segmentation_type: str
    """Segmentation Type (0062,0001)."""
    fractional_type: str
    """Segmentation Fractional Type (0062,0010), empty unless FRACTIONAL."""
    segments: tuple[ReadSegment, ...]


def read_back_segmentation(path: Path) -> ReadSegmentation:
    """Read a segmentation of any type. Raises NotDicom, TruncatedFile, ReadBackMismatch."""
    dataset = read_dataset(path)
    with parsing("the segmentation"):
        planes = _parse_planes(dataset)
        series = dataset.ReferencedSeriesSequence[0]
        return ReadSegmentation(
            sop_instance_uid=str(dataset.SOPInstanceUID),
            source_sop_instance_uid=str(
                series.ReferencedInstanceSequence[0].ReferencedSOPInstanceUID
            ),
            segmentation_type=str(dataset.SegmentationType),
            fractional_type=str(dataset.get("SegmentationFractionalType", "")),
            segments=tuple(
                ReadSegment(
                    number=int(item.SegmentNumber),
                    tracking_uid=str(item.get("TrackingUID", "")),
                    tracking_id=str(item.get("TrackingID", "")),
                    algorithm_type=str(item.SegmentAlgorithmType),
                    planes=planes.get(int(item.SegmentNumber), {}),
                )
                for item in dataset.SegmentSequence
                if int(item.SegmentNumber) != _BACKGROUND
            ),
        )


def _parse_planes(dataset: Dataset) -> dict[int, dict[int, NDArray[np.uint8]]]:
    """Return the planes by segment number and frame of the source image."""
    shape = int(dataset.NumberOfFrames), int(dataset.Rows), int(dataset.Columns)
    if dataset.BitsAllocated == 1:
        values = np.asarray(unpack_bits(dataset.PixelData), dtype=np.uint8)
    else:
        values = np.frombuffer(dataset.PixelData, dtype=np.uint8)
    frames = values[: np.prod(shape)].reshape(shape)
    shared = dataset.SharedFunctionalGroupsSequence[0]
    planes: dict[int, dict[int, NDArray[np.uint8]]] = {}
    for groups, frame in zip(dataset.PerFrameFunctionalGroupsSequence, frames, strict=True):
        image = groups.DerivationImageSequence[0].SourceImageSequence[0]
        number = int(image.get("ReferencedFrameNumber", 1))
        if dataset.SegmentationType == "LABELMAP":
            for item in dataset.SegmentSequence:
                segment = int(item.SegmentNumber)
                if segment != _BACKGROUND:
                    planes.setdefault(segment, {})[number] = (frame == segment).astype(np.uint8)
        else:
            identified = groups if "SegmentIdentificationSequence" in groups else shared
            identification = identified.SegmentIdentificationSequence[0]
            planes.setdefault(int(identification.ReferencedSegmentNumber), {})[number] = frame
    return planes
