"""ACR BI-RADS."""

from typing import Final

BIRADS_CATEGORIES: Final = ("0", "1", "2", "3", "4", "4A", "4B", "4C", "5", "6")
"""Assessment categories (DICOM CID 6027). The radiologist assigns them, never the networks."""
