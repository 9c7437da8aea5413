"""Equipment attributes of the objects that Sonogate creates (PS3.3 C.7.5.1)."""

from typing import Final

MANUFACTURER: Final = "Sonogate"
RESULT_MODEL: Final = "Sonogate analysis"
"""Manufacturer's Model Name (0008,1090) of results, which the input gate refuses."""
IMAGE_MODEL: Final = "Sonogate wrap"
"""Manufacturer's Model Name of images built from phantoms and PNG files, which are analyzed."""
DISCLAIMER: Final = "Research use only. Not for diagnosis."
