"""The plane of an image in a frame of reference. Most ultrasound images have none.

All values come from the header. When one is missing, nothing is guessed and there is no plane.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import UID
from pydicom.valuerep import format_number_as_ds

from dicom.attributes import get_text
from dicom.errors import InvalidHeader
from dicom.results.source_image import SourceImage

_UNIT_TOLERANCE: Final = 1e-3
"""Of direction cosines, which machines write with few digits."""
_DS_MAX_LENGTH: Final = 16


@dataclass(frozen=True)
class ImagePlane:
    """The plane of a single-frame image (PS3.3 C.7.4.1, C.7.6.2).

    Numbers are the texts of the header, shortened where they are too long for VR DS.
    """

    frame_of_reference_uid: str
    position_reference: str
    """Position Reference Indicator (0020,1040), empty when absent."""
    position_mm: tuple[str, ...]
    """x, y, z of the center of the first pixel."""
    orientation: tuple[str, ...]
    """Direction cosines of the rows, then of the columns."""
    spacing_mm: tuple[str, ...]
    """(row, column) spacing of Pixel Spacing (0028,0030), never of an ultrasound region."""
    thickness_mm: str
    """Slice Thickness (0018,0050), empty when absent."""


def parse_image_plane(source: SourceImage) -> ImagePlane:
    """Return the plane of `source`.

    A cine has none: the attributes apply to all of its frames, but the transducer moves.

    Raises InvalidHeader, which names the missing or invalid attribute.
    """
    dataset = source.dataset
    if source.header.number_of_frames > 1:
        raise InvalidHeader("NumberOfFrames", "more than 1, and no plane is known for each frame")
    uid = get_text(dataset, "FrameOfReferenceUID")
    if not UID(uid).is_valid:
        raise InvalidHeader("FrameOfReferenceUID", "not a UID (PS3.5 9.1)" if uid else "missing")
    position = _get_numbers(dataset, "ImagePositionPatient", 3)
    orientation = parse_orientation(dataset)
    spacing = _get_numbers(dataset, "PixelSpacing", 2)
    if min(map(float, spacing)) <= 0:
        raise InvalidHeader("PixelSpacing", "not above zero")
    thickness = get_text(dataset, "SliceThickness")
    has_thickness = _is_finite(thickness) and float(thickness) > 0
    return ImagePlane(
        frame_of_reference_uid=uid,
        position_reference=get_text(dataset, "PositionReferenceIndicator"),
        position_mm=position,
        orientation=orientation,
        spacing_mm=spacing,
        thickness_mm=_shorten(thickness) if has_thickness else "",
    )


def parse_orientation(dataset: Dataset) -> tuple[str, ...]:
    """Return the direction cosines of the rows, then of the columns.

    Raises InvalidHeader if Image Orientation (0020,0037) is missing or invalid.
    """
    orientation = _get_numbers(dataset, "ImageOrientationPatient", 6)
    directions = np.array(orientation, dtype=float).reshape(2, 3)
    if not np.allclose(directions @ directions.T, np.eye(2), atol=_UNIT_TOLERANCE):
        raise InvalidHeader(
            "ImageOrientationPatient", "not two directions at right angles (PS3.3 C.7.6.2.1.1)"
        )
    return orientation


def _get_numbers(dataset: Dataset, keyword: str, count: int) -> tuple[str, ...]:
    value = get_text(dataset, keyword)
    numbers = tuple(value.split("\\"))
    if len(numbers) != count or not all(map(_is_finite, numbers)):
        raise InvalidHeader(keyword, f"not {count} numbers" if value else "missing")
    return tuple(map(_shorten, numbers))


def _is_finite(value: str) -> bool:
    try:
        return math.isfinite(float(value))
    except ValueError:
        return False


def _shorten(value: str) -> str:
    return value if len(value) <= _DS_MAX_LENGTH else format_number_as_ds(float(value))
