"""Verifies heat map pictures. See `dicom.results.verify`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import JPEGBaseline8Bit

from dicom.errors import DicomError, ReadBackMismatch
from dicom.files import read_without_pixels
from dicom.images.frames import Frame, decode_frames
from dicom.results.model import StudyResult
from dicom.results.verify import find_image, is_cine, parsing, referenced_frames

_LEAST_HOT: Final = (160, 160, 100)
"""The greatest weight is drawn in yellow and covers two thirds of the pixel below."""


@dataclass(frozen=True)
class ReadCapture:
    """A picture of a heat map, without its pixels."""

    source_sop_instance_uid: str
    frames: tuple[int, ...]
    """1-based frames of the source by page; empty for a still."""
    pages: tuple[int, ...]
    """Page Number Vector (0018,2001)."""
    shape: tuple[int, int, int]
    """Frames, rows, columns."""
    lossy: bool


def read_back_capture(path: Path) -> ReadCapture:
    """Read the header of a heat map picture. Raises NotDicom, TruncatedFile, ReadBackMismatch."""
    dataset = read_without_pixels(path)
    with parsing("the picture"):
        (source,) = dataset.SourceImageSequence
        pages = dataset.get("PageNumberVector", [])
        return ReadCapture(
            source_sop_instance_uid=str(source.ReferencedSOPInstanceUID),
            frames=referenced_frames(source),
            pages=(int(pages),) if isinstance(pages, (int, str)) else tuple(map(int, pages)),
            shape=(int(dataset.get("NumberOfFrames", 1)), int(dataset.Rows), int(dataset.Columns)),
            lossy=dataset.file_meta.TransferSyntaxUID == JPEGBaseline8Bit,
        )


def verify_heatmap_capture(path: Path, result: StudyResult) -> None:
    """Raise ReadBackMismatch unless `path` shows the frames of its image that have heat maps.

    In a native picture, pixels where the heat map is 0 must equal those of the frame, the hottest
    pixels must have a hot color, and there must be a legend.
    """
    capture = read_back_capture(path)
    image = find_image(capture.source_sop_instance_uid, result)
    numbers = tuple(sorted(image.heatmaps))
    expected_frames = numbers if is_cine(image) else ()
    if (capture.frames, capture.pages) != (expected_frames, expected_frames):
        raise ReadBackMismatch("the picture is of other frames")
    count, rows, columns = capture.shape
    heatmap_rows, heatmap_columns = next(iter(image.heatmaps.values())).shape
    if count != len(numbers) or rows <= heatmap_rows or columns < heatmap_columns:
        raise ReadBackMismatch("the picture has another size")
    try:
        frames = decode_frames(image.source, [number - 1 for number in numbers])
        for number, frame, picture in zip(numbers, frames, decode_frames(path), strict=True):
            if not capture.lossy:
                _verify_picture(picture, frame, image.heatmaps[number])
    except ReadBackMismatch:
        raise
    except DicomError as error:
        raise ReadBackMismatch("the picture cannot be decoded") from error


def _verify_picture(picture: Frame, frame: Frame, heatmap: NDArray[np.uint8]) -> None:
    rows, columns = heatmap.shape
    over_frame, beside, legend = picture[:rows, :columns], picture[:rows, columns:], picture[rows:]
    below = frame if frame.ndim == 3 else frame[..., np.newaxis]
    cold, hottest = heatmap == 0, heatmap == 255
    if (over_frame[cold] != below[cold]).any() or beside.any():
        raise ReadBackMismatch("the picture differs where there is no heat")
    if (over_frame[hottest] < _LEAST_HOT).any():
        raise ReadBackMismatch("the picture is cold where the heat map is hottest")
    if not legend.any():
        raise ReadBackMismatch("the picture has no legend")
