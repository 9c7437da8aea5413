"""Verifies heat map pictures. See `dicom.results.verify`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from pydicom.uid import JPEGBaseline8Bit

from dicom.errors import DicomError, ReadBackMismatch
from dicom.files import read_without_pixels
from dicom.images.frames import Frame, decode_frames
from dicom.results.heatmap_sc.picture import OUTLINE_COLORS, cover_by_outline
from dicom.results.model import ImageResult, StudyResult
from dicom.results.verify import find_image, is_cine, parsing, referenced_frames

_LEAST_HOT: Final = (120, 120, 75)
"""The greatest weight is drawn in yellow and covers half of the pixel below."""

_MOSTLY: Final = 0.7
"""The share of a pixel that an outline covers, from which on its color is checked."""


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

    In a native picture, pixels where the heat map is 0 and no outline runs must equal those of the
    frame, the hottest pixels must have a hot color, each outline must be visible, and there must be
    a legend.
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
                _verify_picture(picture, frame, image, number)
    except ReadBackMismatch:
        raise
    except DicomError as error:
        raise ReadBackMismatch("the picture cannot be decoded") from error


def _verify_picture(picture: Frame, frame: Frame, image: ImageResult, number: int) -> None:
    heatmap = image.heatmaps[number]
    rows, columns = heatmap.shape
    over_frame, beside, legend = picture[:rows, :columns], picture[:rows, columns:], picture[rows:]
    below = frame if frame.ndim == 3 else frame[..., np.newaxis]
    outlined = np.zeros((rows, columns), dtype=bool)
    for lesion in reversed([one for one in image.lesions if one.frame_number == number]):
        line, edge = cover_by_outline((rows, columns), lesion.contour)
        # a later outline lies over an earlier one
        shown = over_frame[(line >= _MOSTLY) & ~outlined].astype(int)
        differences = np.abs(shown[:, np.newaxis] - OUTLINE_COLORS).max(axis=2).min(axis=1)
        if (differences > 255 * (1 - _MOSTLY) + 1).any():
            raise ReadBackMismatch("the picture lacks an outline")
        outlined |= edge > 0
    cold, hottest = (heatmap == 0) & ~outlined, (heatmap == 255) & ~outlined
    if (over_frame[cold] != below[cold]).any() or beside.any():
        raise ReadBackMismatch("the picture differs where there is no heat")
    if (over_frame[hottest] < _LEAST_HOT).any():
        raise ReadBackMismatch("the picture is cold where the heat map is hottest")
    if not legend.any():
        raise ReadBackMismatch("the picture has no legend")
