"""Where an image lies in a frame of reference, when its header says so. Most ultrasound says nothing.

Nothing is completed by a guess: a plane is what the header states, whole, or there is none.
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
"""Of direction cosines: machines write them with few digits."""
_DS_MAX_LENGTH: Final = 16


@dataclass(frozen=True)
class ImagePlane:
    """The plane of a single-frame image (PS3.3 C.7.4.1, C.7.6.2).

    Numbers are texts, digit by digit those of the header, but for such as are too long for DICOM.
    """

    frame_of_reference_uid: str
    position_reference: str
    """Position Reference Indicator (0020,1040); empty when there is none."""
    position_mm: tuple[str, ...]
    """x, y, z of the middle of the first pixel."""
    orientation: tuple[str, ...]
    """Direction cosines of the rows, then of the columns."""
    spacing_mm: tuple[str, ...]
    """(row, column) spacing: Pixel Spacing (0028,0030), never that of an ultrasound region."""
    thickness_mm: str
    """Empty when the image does not say."""


def parse_image_plane(source: SourceImage) -> ImagePlane:
    """Return the plane of `source`. Raises InvalidHeader, which names what is missing or wrong.

    A cine has none: what stands beside its frames holds for all of them at most, and a probe moves.
    """
    dataset = source.dataset
    if source.header.number_of_frames > 1:
        raise InvalidHeader("NumberOfFrames", "more than 1, and no plane is known for each frame")
    uid = get_text(dataset, "FrameOfReferenceUID")
    if not UID(uid).is_valid:
        raise _problem("FrameOfReferenceUID", uid, "not a UID (PS3.5 9.1)")
    return ImagePlane(
        frame_of_reference_uid=uid,
        position_reference=get_text(dataset, "PositionReferenceIndicator"),
        position_mm=_numbers(dataset, "ImagePositionPatient", 3),
        orientation=_orientation(dataset),
        spacing_mm=_spacing(dataset),
        thickness_mm=_thickness(dataset),
    )


def _numbers(dataset: Dataset, keyword: str, count: int) -> tuple[str, ...]:
    """Return `count` values that are finite numbers."""
    value = get_text(dataset, keyword)
    parts = tuple(value.split("\\"))
    if len(parts) != count or not all(map(_is_finite, parts)):
        raise _problem(keyword, value, f"not {count} numbers")
    return tuple(map(_shortened, parts))


def _is_finite(value: str) -> bool:
    try:
        return math.isfinite(float(value))
    except ValueError:
        return False


def _shortened(value: str) -> str:
    return value if len(value) <= _DS_MAX_LENGTH else format_number_as_ds(float(value))


def _orientation(dataset: Dataset) -> tuple[str, ...]:
    keyword = "ImageOrientationPatient"
    values = _numbers(dataset, keyword, 6)
    directions = np.array(values, dtype=float).reshape(2, 3)
    if not np.allclose(directions @ directions.T, np.eye(2), atol=_UNIT_TOLERANCE):
        raise InvalidHeader(keyword, "not two directions at right angles (PS3.3 C.7.6.2.1.1)")
    return values


def _spacing(dataset: Dataset) -> tuple[str, ...]:
    values = _numbers(dataset, "PixelSpacing", 2)
    if min(map(float, values)) <= 0:
        raise InvalidHeader("PixelSpacing", "not above zero")
    return values


def _thickness(dataset: Dataset) -> str:
    value = get_text(dataset, "SliceThickness")
    return _shortened(value) if _is_finite(value) and float(value) > 0 else ""


def _problem(keyword: str, value: str, problem: str) -> InvalidHeader:
    return InvalidHeader(keyword, problem if value else "missing")
