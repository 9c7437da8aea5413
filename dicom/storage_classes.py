"""Storage SOP classes of ultrasound images (PS3.4 B.5)."""

from typing import Final

from pydicom.uid import (
    MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    SecondaryCaptureImageStorage,
    UltrasoundImageStorage,
    UltrasoundMultiFrameImageStorage,
)

RETIRED_ULTRASOUND: Final = "1.2.840.10008.5.1.4.1.1.6"
RETIRED_ULTRASOUND_MULTI_FRAME: Final = "1.2.840.10008.5.1.4.1.1.3"

ULTRASOUND: Final = frozenset(
    {
        UltrasoundImageStorage,
        UltrasoundMultiFrameImageStorage,
        RETIRED_ULTRASOUND,
        RETIRED_ULTRASOUND_MULTI_FRAME,
    }
)
CAPTURE: Final = frozenset(
    {
        SecondaryCaptureImageStorage,
        MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
        MultiFrameTrueColorSecondaryCaptureImageStorage,
    }
)
MULTI_FRAME: Final = frozenset(
    {
        UltrasoundMultiFrameImageStorage,
        RETIRED_ULTRASOUND_MULTI_FRAME,
        MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
        MultiFrameTrueColorSecondaryCaptureImageStorage,
    }
)
"""References to these classes may contain frame numbers (PS3.3 Table 10-3)."""
