"""Shared parts of the `verify` module of each result kind.

Objects are read back from disk and compared with the result. Neither this module nor its users
share code with the builders or with highdicom, so they detect errors in both.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from dicom.errors import ReadBackMismatch
from dicom.files import encode
from dicom.images.header import read_header
from dicom.results.model import ImageResult, StudyResult
from dicom.storage_classes import MULTI_FRAME

_MAX_POINTS_WITHOUT_THINNING: Final = 4000
"""The builders may thin outlines that have more points."""
_OUTLINE_TOLERANCE_PX: Final = 0.5


def verify_written(path: Path, expected: Dataset) -> None:
    """Raise ReadBackMismatch unless the bytes of `path` are those of `expected`."""
    if path.read_bytes() != encode(expected):
        raise ReadBackMismatch("the bytes differ from those of the object")


@contextmanager
def parsing(name: str) -> Iterator[None]:
    """Raise ReadBackMismatch instead of the errors of parsing an incomplete object."""
    try:
        yield
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise ReadBackMismatch(f"{name} cannot be parsed") from error


def find_image(sop_instance_uid: str, result: StudyResult) -> ImageResult:
    """Return the analyzed image with this SOP Instance UID. Raises ReadBackMismatch."""
    for image in result.images:
        if image.sop_instance_uid == sop_instance_uid:
            return image
    raise ReadBackMismatch("the object refers to an image that the analysis does not have")


def is_cine(image: ImageResult) -> bool:
    """Return whether references to the image contain frame numbers."""
    return read_header(image.source).sop_class_uid in MULTI_FRAME


def referenced_frames(reference: Dataset) -> tuple[int, ...]:
    """Return Referenced Frame Number (0008,1160) of an item, or () when it is absent."""
    numbers = reference.get("ReferencedFrameNumber")
    if numbers is None:
        return ()
    return tuple(map(int, numbers)) if isinstance(numbers, MultiValue) else (int(numbers),)


def graphic_points(graphic: Dataset) -> NDArray[np.float64]:
    """Return Graphic Data (0070,0022) as (x, y) points in pixels, (n, 2)."""
    return np.reshape(np.asarray(graphic.GraphicData, dtype=np.float64), (-1, 2))


def verify_outline(drawn: NDArray[np.float64], contour: NDArray[np.float64]) -> None:
    """Raise ReadBackMismatch unless `drawn`, (n + 1, 2), is the closed `contour`, (n, 2).

    Points may differ by half a pixel. A contour of thousands of points may be thinned.
    """
    points = drawn[:-1]
    step = -(-len(contour) // max(len(points), 1))
    if step > 1 and len(contour) <= _MAX_POINTS_WITHOUT_THINNING:
        raise ReadBackMismatch("an outline lacks points")
    expected = contour[::step]
    if len(points) != len(expected) or not np.array_equal(drawn[-1], points[0]):
        raise ReadBackMismatch("an outline has other points")
    if np.abs(points - expected).max() > _OUTLINE_TOLERANCE_PX:
        raise ReadBackMismatch("an outline is in another place")
