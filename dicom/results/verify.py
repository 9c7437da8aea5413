"""What all that reads result objects back shares; `dicom.results.seg.verify` and its likes do it.

Objects are read back from disk to prove that what was meant is what is there. Nothing there or here
shares code with the builders, nor with highdicom: a mistake made there shows here.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from dicom.errors import ReadBackMismatch
from dicom.files import encode
from dicom.images.header import read_header
from dicom.results.model import ImageResult, StudyResult
from dicom.storage_classes import MULTI_FRAME

_POINTS_THAT_MAY_THIN_OUT: Final = 4000
"""An outline of more than these may come without every second point, or without more."""
_HALF_A_PIXEL: Final = 0.5
_Read = TypeVar("_Read")


def verify_written(path: Path, expected: Dataset) -> None:
    """Raise ReadBackMismatch unless `path` holds `expected` byte for byte."""
    if path.read_bytes() != encode(expected):
        raise ReadBackMismatch("the bytes are not those of the object")


def taken_apart(dataset: Dataset, reader: Callable[[Dataset], _Read], what: str) -> _Read:
    """Return what `reader` reads; raise ReadBackMismatch where `dataset` is not built that way."""
    try:
        return reader(dataset)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise ReadBackMismatch(f"{what} cannot be taken apart") from error


def named_image(uid: str, result: StudyResult) -> ImageResult:
    """Return the analyzed image with this SOP Instance UID. Raises ReadBackMismatch."""
    for image in result.images:
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
