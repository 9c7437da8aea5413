"""Who says so: the equipment that every object made here names."""

from typing import Final

MANUFACTURER: Final = "Sonogate"
RESULT_MODEL: Final = "Sonogate analysis"
"""Manufacturer's Model Name (0008,1090) of results; the gate knows our own objects by it."""
IMAGE_MODEL: Final = "Sonogate wrap"
"""Of images that Sonogate wrapped in DICOM itself (phantoms, PNGs): these may be analyzed."""
DISCLAIMER: Final = "Research use only. Not for diagnosis."
