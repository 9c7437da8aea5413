"""Find the B-mode region of an image and its pixel spacing."""

from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from scipy import ndimage

from dicom.attributes import get_number
from dicom.images.frames import Frame
from dicom.images.header import list_tissue_regions

_Box = tuple[slice, ...]
"""Rows and columns."""
_CENTIMETERS: Final = 3
"""Physical Units X/Y Direction (PS3.3 C.8.5.5.1.7)."""
_MM_PER_CM: Final = 10
_PLAUSIBLE_MM: Final = (0.001, 2.0)
"""No ultrasound image has finer or coarser pixels; other values are errors of the header."""
_OVERHANG_PX: Final = 2
"""Some machines write Max X1 as exclusive. A region further outside belongs to another size."""
_MINIMUM_SIDE_PX: Final = 32
_DARK: Final = 12
_LETTER_PX: Final = 9
_GAP_PX: Final = 15
_MIN_AREA_SHARE: Final = 0.2
"""Share of the frame. Smaller content is not accepted as the B-mode image."""
_MIN_WIDTH_RATIO: Final = 1 / 4
_MIN_HEIGHT_RATIO: Final = 1 / 8
"""To the largest component, for content above or below it to belong to the same image. Banners and
tool bars have 0.08 to 0.10 of its height, tissue of BUSI below a cyst or a shadow 0.13 or more."""
_SHARP: Final = 80
_MAX_DRAWN_SHARE: Final = 0.2
"""Share of pixels that equal all their neighbors or differ from one by more than _SHARP. Speckle
stays below 0.05; banners and text are above 0.3 at any compression."""


@dataclass(frozen=True)
class BModeRegion:
    """A box inside the image in pixels, with exclusive ends."""

    x0: int
    y0: int
    x1: int
    y1: int
    row_spacing_mm: float | None = None
    """Distance between the centers of adjacent rows, None when the image is not calibrated."""
    column_spacing_mm: float | None = None
    source: Literal["header", "content", "whole"] = "whole"

    @property
    def spacing_mm(self) -> tuple[float, float] | None:
        """(row, column) spacing, None when not calibrated."""
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
    """Return the largest 2D tissue region of the header, or else the region found in the pixels.

    `dataset` may lack pixels; `frame` is (rows, columns) or (rows, columns, 3). The spacing is that
    of the region if it is in centimeters, else Pixel Spacing (0028,0030). A region that extends
    beyond the frame was written for another size, so its box and its spacing are ignored.
    """
    rows, columns = frame.shape[:2]
    regions = []
    for item, (x0, y0, x1, y1) in list_tissue_regions(dataset):
        inside = x0 >= 0 and y0 >= 0 and x1 <= columns + _OVERHANG_PX and y1 <= rows + _OVERHANG_PX
        x1, y1 = min(x1, columns), min(y1, rows)
        if inside and min(x1 - x0, y1 - y0) >= _MINIMUM_SIDE_PX:
            row_mm, column_mm = _get_region_spacing(item) or (None, None)
            regions.append(BModeRegion(x0, y0, x1, y1, row_mm, column_mm, "header"))
    largest = max(regions, key=lambda region: region.area_px, default=None)
    region = largest or find_content_region(frame)
    value = dataset.get("PixelSpacing")
    if region.calibrated or not isinstance(value, MultiValue) or len(value) != 2:
        return region
    row_mm, column_mm = _to_plausible_spacing(float(value[0]), float(value[1])) or (None, None)
    return replace(region, row_spacing_mm=row_mm, column_spacing_mm=column_mm)


def _get_region_spacing(item: Dataset) -> tuple[float, float] | None:
    units = {get_number(item, f"PhysicalUnits{axis}Direction") for axis in "XY"}
    if units != {_CENTIMETERS}:
        return None
    deltas_cm = get_number(item, "PhysicalDeltaY"), get_number(item, "PhysicalDeltaX")
    row_mm, column_mm = ((delta or 0) * _MM_PER_CM for delta in deltas_cm)
    return _to_plausible_spacing(row_mm, column_mm)


def _to_plausible_spacing(row_mm: float, column_mm: float) -> tuple[float, float] | None:
    # the sign of a delta is the direction of its axis
    row_mm, column_mm = abs(row_mm), abs(column_mm)
    low, high = _PLAUSIBLE_MM
    plausible = low <= row_mm <= high and low <= column_mm <= high
    return (row_mm, column_mm) if plausible else None


def find_content_region(frame: Frame) -> BModeRegion:
    """Return the box of the largest bright component of `frame`, without borders and text.

    Components above and below it that have the texture of tissue are included, since a cyst or a
    shadow across the full width divides an image. They may be a second image or a spectrum.
    Components to its left and right are excluded: the near field joins all columns of one image.

    Returns the whole frame when no component is large enough for an ultrasound image.
    """
    rows, columns = frame.shape[:2]
    whole = BModeRegion(0, 0, columns, rows)
    boxes = _find_tissue(frame if frame.ndim == 2 else frame.max(axis=2))
    if not boxes:
        return whole
    y0, x0 = (min(box[axis].start for box in boxes) for axis in (0, 1))
    y1, x1 = (max(box[axis].stop for box in boxes) for axis in (0, 1))
    region = BModeRegion(x0, y0, x1, y1, source="content")
    too_small = min(x1 - x0, y1 - y0) < _MINIMUM_SIDE_PX
    return whole if too_small or region.area_px < _MIN_AREA_SHARE * rows * columns else region


def _find_tissue(gray: Frame) -> list[_Box]:
    """Return the boxes of the largest bright component and of those that continue it."""
    without_gaps = _filter_majority(gray > _DARK, _GAP_PX, 0.2)
    components, count = ndimage.label(_filter_majority(without_gaps, _LETTER_PX, 0.999))
    if count == 0:
        return []
    boxes = ndimage.find_objects(components)
    largest = boxes[int(np.bincount(components.ravel())[1:].argmax())]
    largest_rows, largest_columns = largest
    min_height = _MIN_HEIGHT_RATIO * (largest_rows.stop - largest_rows.start)
    min_width = _MIN_WIDTH_RATIO * (largest_columns.stop - largest_columns.start)
    tissue = [largest]
    for number, box in enumerate(boxes, start=1):
        rows, columns = box
        overlap = min(columns.stop, largest_columns.stop) - max(
            columns.start, largest_columns.start
        )
        large_enough = rows.stop - rows.start >= min_height and overlap >= min_width
        if (
            box is not largest
            and large_enough
            and not _is_drawn(gray[box], components[box] == number)
        ):
            tissue.append(box)
    return tissue


def _is_drawn(gray: Frame, component: NDArray[np.bool_]) -> bool:
    """Whether a component is a banner, a tool bar or text: even areas with sharp edges."""
    contrast = ndimage.maximum_filter(gray, 3) - ndimage.minimum_filter(gray, 3)
    drawn = (contrast == 0) | (contrast > _SHARP)
    return bool(drawn[component].mean() > _MAX_DRAWN_SHARE)


def _filter_majority(mask: NDArray[np.bool_], side_px: int, share: float) -> NDArray[np.bool_]:
    filled: NDArray[np.float32] = ndimage.uniform_filter(mask.astype(np.float32), side_px)
    return filled >= share
