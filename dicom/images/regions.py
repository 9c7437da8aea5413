"""Where on the image the B-mode picture lies, and how large a pixel is there."""

from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from scipy import ndimage

from dicom.attributes import get_number
from dicom.images.frames import Frame
from dicom.images.header import TISSUE, get_region_box, get_ultrasound_regions, is_2d

_Box = tuple[slice, ...]
"""Rows and columns."""
_CENTIMETERS: Final = 3
"""Physical Units X/Y Direction (PS3.3 C.8.5.5.1.7)."""
_MM_PER_CM: Final = 10
_PLAUSIBLE_MM: Final = (0.001, 2.0)
"""A pixel outside this is a header's mistake: no ultrasound image is that fine or that coarse."""
_OVERHANG_PX: Final = 2
"""Some machines give Max X1 as exclusive; a region further out was drawn for another size."""
_MINIMUM_SIDE_PX: Final = 32
_DARK: Final = 12
_LETTER_PX: Final = 9
_GAP_PX: Final = 15
_LEAST_SHARE: Final = 0.2
"""Content smaller than this share of the image is not trusted to be the whole picture."""
_LEAST_WIDTH: Final = 1 / 4
_LEAST_HEIGHT: Final = 1 / 8
"""Of the largest body, for what lies above or below it to be more of the same picture: real banners
and tool bars are 0.08 to 0.10 high, BUSI's tissue below a cyst or a shadow is 0.13 or more."""
_SHARP: Final = 80
_DRAWN: Final = 0.2
"""Share of pixels that equal all their neighbors or differ from one by more than that many gray
levels: under 0.05 in speckle, over 0.3 in banners and text, however they were compressed."""


@dataclass(frozen=True)
class BModeRegion:
    """A box of the image in pixels, with exclusive ends, inside the image."""

    x0: int
    y0: int
    x1: int
    y1: int
    row_spacing_mm: float | None = None
    """Distance between the centers of neighboring rows; None when the image is not calibrated."""
    column_spacing_mm: float | None = None
    source: Literal["header", "content", "whole"] = "whole"
    data_type: int | None = None
    """Region Data Type (PS3.3 C.8.5.5.1.2) when the header gave the region: 1 is tissue."""

    @property
    def spacing_mm(self) -> tuple[float, float] | None:
        """(row, column) spacing, None when uncalibrated."""
        if self.row_spacing_mm is None or self.column_spacing_mm is None:
            return None
        return self.row_spacing_mm, self.column_spacing_mm

    @property
    def calibrated(self) -> bool:
        return self.spacing_mm is not None

    @property
    def area_px(self) -> int:
        return (self.x1 - self.x0) * (self.y1 - self.y0)


def find_bmode_region(dataset: Dataset, frame: Frame) -> BModeRegion:
    """Return the largest 2D tissue region of the header, else what the content shows.

    `dataset` needs no pixels; `frame` is (rows, columns) or (rows, columns, 3). The spacing comes
    from the region when it is in centimeters, else from Pixel Spacing (0028,0030). A region that
    reaches outside the image was written for a picture of another size or crop: neither its box
    nor its calibration is believed.
    """
    regions = [region for region in _header_regions(dataset, frame) if _is_usable(region)]
    found = max(regions, key=lambda region: region.area_px, default=None)
    if found is None:
        found = find_content_region(frame)
    return found if found.calibrated else _with_pixel_spacing(found, dataset)


def _header_regions(dataset: Dataset, frame: Frame) -> list[BModeRegion]:
    rows, columns = frame.shape[:2]
    found = []
    for region in get_ultrasound_regions(dataset):
        box = get_region_box(region)
        if box and is_2d(region, TISSUE) and _fits(box, rows, columns):
            x0, y0, x1, y1 = box
            row_mm, column_mm = _spacing(region)
            ends = min(x1, columns), min(y1, rows)
            found.append(BModeRegion(x0, y0, *ends, row_mm, column_mm, "header", TISSUE))
    return found


def _fits(box: tuple[int, int, int, int], rows: int, columns: int) -> bool:
    x0, y0, x1, y1 = box
    return x0 >= 0 and y0 >= 0 and x1 <= columns + _OVERHANG_PX and y1 <= rows + _OVERHANG_PX


def _is_usable(region: BModeRegion) -> bool:
    return min(region.x1 - region.x0, region.y1 - region.y0) >= _MINIMUM_SIDE_PX


def _spacing(region: Dataset) -> tuple[float | None, float | None]:
    units = {get_number(region, f"PhysicalUnits{axis}Direction") for axis in "XY"}
    if units != {_CENTIMETERS}:
        return None, None
    spacing = _plausible(
        get_number(region, "PhysicalDeltaY"), get_number(region, "PhysicalDeltaX"), _MM_PER_CM
    )
    return spacing or (None, None)


def _plausible(row: float | None, column: float | None, unit: float) -> tuple[float, float] | None:
    low, high = _PLAUSIBLE_MM
    spacing = (
        abs(row or 0) * unit,
        abs(column or 0) * unit,
    )  # the delta's sign is the axis' direction
    return spacing if all(low <= mm <= high for mm in spacing) else None


def _with_pixel_spacing(region: BModeRegion, dataset: Dataset) -> BModeRegion:
    value = dataset.get("PixelSpacing")
    if not isinstance(value, MultiValue) or len(value) != 2:
        return region
    spacing = _plausible(float(value[0]), float(value[1]), unit=1)
    if spacing is None:
        return region
    return replace(region, row_spacing_mm=spacing[0], column_spacing_mm=spacing[1])


def find_content_region(frame: Frame) -> BModeRegion:
    """Return the box of the largest bright body of `frame`: borders and text beside it fall away.

    A cyst or a shadow from side to side divides a picture: what is speckled like tissue above or
    below that body is kept with it, even if it is a second picture or a spectrum. What lies to its
    left or right falls away: the probe's own echo joins the columns of one picture at the top.

    The whole frame when nothing in it is large enough to be an ultrasound picture.
    """
    rows, columns = frame.shape[:2]
    gray = frame if frame.ndim == 2 else frame.max(axis=2)
    parts = _parts(gray)
    if not parts:
        return BModeRegion(0, 0, columns, rows)
    y0, x0 = (min(part[axis].start for part in parts) for axis in (0, 1))
    y1, x1 = (max(part[axis].stop for part in parts) for axis in (0, 1))
    region = BModeRegion(x0, y0, x1, y1, source="content")
    if not _is_usable(region) or region.area_px < _LEAST_SHARE * rows * columns:
        return BModeRegion(0, 0, columns, rows)
    return region


def _parts(gray: Frame) -> list[_Box]:
    """Close speckle, open text away; return the largest connected body and what continues it."""
    closed = _majority(gray > _DARK, _GAP_PX, 0.2)
    bodies, count = ndimage.label(_majority(closed, _LETTER_PX, 0.999))
    if count == 0:
        return []
    boxes = ndimage.find_objects(bodies)
    largest = boxes[int(np.bincount(bodies.ravel())[1:].argmax())]
    others = [(box, bodies[box] == i) for i, box in enumerate(boxes, 1) if box is not largest]
    more = [
        box for box, body in others if _continues(box, largest) and not _is_drawn(gray[box], body)
    ]
    return [largest, *more]


def _continues(part: _Box, largest: _Box) -> bool:
    """Whether `part` is as wide, in the columns of `largest`, and as high as tissue may be."""
    (rows, columns), (all_rows, all_columns) = part, largest
    width = min(columns.stop, all_columns.stop) - max(columns.start, all_columns.start)
    height = rows.stop - rows.start
    return bool(
        width >= _LEAST_WIDTH * (all_columns.stop - all_columns.start)
        and height >= _LEAST_HEIGHT * (all_rows.stop - all_rows.start)
    )


def _is_drawn(gray: Frame, body: NDArray[np.bool_]) -> bool:
    """Whether it is a banner, a tool bar or text, where what is not even has sharp edges."""
    contrast = ndimage.maximum_filter(gray, 3) - ndimage.minimum_filter(gray, 3)
    drawn = (contrast == 0) | (contrast > _SHARP)
    return bool(drawn[body].mean() > _DRAWN)


def _majority(mask: NDArray[np.bool_], side_px: int, share: float) -> NDArray[np.bool_]:
    filled: NDArray[np.float32] = ndimage.uniform_filter(mask.astype(np.float32), side_px)
    return filled >= share
