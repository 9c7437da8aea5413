"""Outlines and sizes of lesions."""

from dataclasses import dataclass

Point = tuple[float, float]
"""(x, y) in pixels, (0, 0) the top left corner of the image (PS3.3 C.18.6.1.2)."""


@dataclass(frozen=True)
class SizeMm:
    """The size of an outline on a calibrated image."""

    area_mm2: float
    long_axis_mm: float
    short_axis_mm: float


@dataclass(frozen=True)
class LesionMeasurements:
    """The size of one outline. The long axis is its longest diameter, the short axis its extent
    at right angles to that.
    """

    area_px: int
    long_axis_px: float
    short_axis_px: float
    size_mm: SizeMm | None = None
    """None if the image is not calibrated."""
