"""Where on the image the B-mode picture lies, and how large a pixel is there."""

from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from scipy import ndimage

from dicom.frames import Frame
from dicom.header import TISSUE, is_2d, number, region_box, ultrasound_regions

_CENTIMETRES: Final = 3
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


@dataclass(frozen=True)
class BModeRegion:
    """A box of the image in pixels, with exclusive ends, inside the image."""

    x0: int
    y0: int
    x1: int
    y1: int
    row_spacing_mm: float | None = None
    """Distance between the centres of neighbouring rows; None when the image is not calibrated."""
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


def bmode_region(dataset: Dataset, frame: Frame) -> BModeRegion:
    """Return the largest 2D tissue region of the header, else what the content shows.

    `dataset` needs no pixels; `frame` is (rows, columns) or (rows, columns, 3). The spacing comes
    from the region when it is in centimetres, else from Pixel Spacing (0028,0030). A region that
    reaches outside the image was written for a picture of another size or crop: neither its box
    nor its calibration is believed.
    """
    regions = [region for region in _header_regions(dataset, frame) if _is_usable(region)]
    found = max(regions, key=lambda region: region.area_px, default=None)
    if found is None:
        found = content_region(frame)
    return found if found.calibrated else _with_pixel_spacing(found, dataset)


def _header_regions(dataset: Dataset, frame: Frame) -> list[BModeRegion]:
    rows, columns = frame.shape[:2]
    found = []
    for region in ultrasound_regions(dataset):
        box = region_box(region)
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
    units = {number(region, f"PhysicalUnits{axis}Direction") for axis in "XY"}
    if units != {_CENTIMETRES}:
        return None, None
    spacing = _plausible(
        number(region, "PhysicalDeltaY"), number(region, "PhysicalDeltaX"), _MM_PER_CM
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


def content_region(frame: Frame) -> BModeRegion:
    """Return the box of the largest bright body of `frame`: borders and text beside it fall away.

    The whole frame when nothing in it is large enough to be an ultrasound picture.
    """
    rows, columns = frame.shape[:2]
    grey = frame if frame.ndim == 2 else frame.max(axis=2)
    box = _largest_body(grey > _DARK)
    if box is None:
        return BModeRegion(0, 0, columns, rows)
    y, x = box
    region = BModeRegion(x.start, y.start, x.stop, y.stop, source="content")
    if not _is_usable(region) or region.area_px < _LEAST_SHARE * rows * columns:
        return BModeRegion(0, 0, columns, rows)
    return region


def _largest_body(bright: NDArray[np.bool_]) -> tuple[slice, slice] | None:
    """Close speckle, open text away, and return the slices of the largest connected body."""
    closed = _majority(bright, _GAP_PX, 0.2)
    bodies, count = ndimage.label(_majority(closed, _LETTER_PX, 0.999))
    if count == 0:
        return None
    sizes = np.bincount(bodies.ravel())[1:]
    rows, columns = ndimage.find_objects(bodies)[int(sizes.argmax())]
    return rows, columns


def _majority(mask: NDArray[np.bool_], side_px: int, share: float) -> NDArray[np.bool_]:
    filled: NDArray[np.float32] = ndimage.uniform_filter(mask.astype(np.float32), side_px)
    return filled >= share
