"""Input gate, part 1: refuse images that the networks were not made for, by their header alone.

`dicom.images.pixel_gate` is part 2.
"""

from collections.abc import Callable
from typing import Final

from pydicom.dataset import Dataset

from dicom.equipment import MANUFACTURER, RESULT_MODEL
from dicom.images.frames import can_decode
from dicom.images.header import InstanceHeader, parse_header
from dicom.results.model import RefusalReason
from dicom.storage_classes import CAPTURE, MULTI_FRAME, ULTRASOUND

MINIMUM_SIDE_PX: Final = 32
# Body Part Examined is often in the site's language, or the name of a machine preset. A value
# with none of these words counts as another body part.
_BREAST_WORDS: Final = frozenset(
    {"BREAST", "MAMM", "MAMA", "AXILL", "BRUST", "SEIN", "SENO", "BORST", "BRYST", "BRÖST"}
    | {"ГРУД", "МОЛОЧН", "乳"}
)
_UNSPECIFIC_WORDS: Final = frozenset(
    {"SMALLPART", "SMALLPARTS", "SUPERFICIAL", "CHEST", "CHESTWALL", "THORAX"}
    | {"OTHER", "UNKNOWN", "GENERAL", "NONE", "NA", "UNDEFINED", "DEFAULT", "SOFTTISSUE"}
)
_BREAST_CODES: Final = frozenset(
    {"76752008", "80248007", "73056007", "63762007", "91470000"}
    | {"T-04000", "T-04020", "T-04030", "T-04080", "T-D8100"}
)
"""Breast, left, right, both, axilla: in SNOMED CT, and in SRT, which it replaced."""
_COLOR_MODES: Final = 0x0010 | 0x0020 | 0x0100
"""Color Doppler, color M-mode, color power: Image Type value 4 (PS3.3 C.8.5.6.1.1)."""
_ELASTOGRAPHY_WORDS: Final = ("ELASTO", "STRAIN", "SHEAR WAVE", "SHEARWAVE", "ARFI")
_SPLIT_SHARE: Final = 0.5
"""Least area of the second largest tissue region, as a share of the largest."""
TOO_SMALL: Final = RefusalReason(
    "too-small", f"The image is less than {MINIMUM_SIDE_PX} pixels wide or high."
)
COLOR_DOPPLER: Final = RefusalReason(
    "color-doppler", "The image shows color Doppler; only B-mode images are analyzed."
)
SPLIT_SCREEN: Final = RefusalReason(
    "split-screen", "The image shows several B-mode views side by side; send each view separately."
)


def find_header_refusal(source: InstanceHeader | Dataset) -> RefusalReason | None:
    """Return the first reason not to analyze an instance, None when its header has none.

    Codes: derived, not-ultrasound, no-pixels, too-small, nameless-frames,
    unsupported-transfer-syntax, wrong-body-part, color-doppler, elastography, split-screen.

    Raises InvalidHeader when a Dataset lacks the UIDs that identify it.
    """
    header = source if isinstance(source, InstanceHeader) else parse_header(source)
    return next((refusal for refusal, applies in _RULES if applies(header)), None)


def _is_ultrasound(header: InstanceHeader) -> bool:
    if header.sop_class_uid in ULTRASOUND:
        return header.modality in {"US", ""}
    return header.sop_class_uid in CAPTURE and header.modality == "US"


def _is_other_body_part(header: InstanceHeader) -> bool:
    region = header.anatomic_region
    if region and region.value in _BREAST_CODES:
        return False
    word = header.body_part.upper()
    if not word or any(breast in word for breast in _BREAST_WORDS):
        return False
    return "".join(filter(str.isalnum, word)) not in _UNSPECIFIC_WORDS


def _is_color_doppler(header: InstanceHeader) -> bool:
    if header.color_flow_regions:
        return True
    try:
        return bool(int(header.image_type[3], 16) & _COLOR_MODES)
    except (IndexError, ValueError):
        return False


def _is_elastography(header: InstanceHeader) -> bool:
    words = " ".join((*header.image_type, header.series_description)).upper()
    return any(word in words for word in _ELASTOGRAPHY_WORDS)


_RULES: Final[tuple[tuple[RefusalReason, Callable[[InstanceHeader], bool]], ...]] = (
    (
        RefusalReason("derived", "The object is a result created by Sonogate."),
        lambda header: (
            (header.manufacturer, header.manufacturer_model_name) == (MANUFACTURER, RESULT_MODEL)
        ),
    ),
    (
        RefusalReason("not-ultrasound", "The object is not an ultrasound image."),
        lambda header: not _is_ultrasound(header),
    ),
    (
        RefusalReason("no-pixels", "The object has no pixel data."),
        lambda header: header.rows == 0 or header.columns == 0,
    ),
    (TOO_SMALL, lambda header: min(header.rows, header.columns) < MINIMUM_SIDE_PX),
    (
        RefusalReason(
            "nameless-frames",
            "The object has several frames, but its SOP class is for single-frame images.",
        ),
        lambda header: header.number_of_frames > 1 and header.sop_class_uid not in MULTI_FRAME,
    ),
    (
        RefusalReason(
            "unsupported-transfer-syntax",
            "The pixel data has a transfer syntax that Sonogate cannot decode, such as video.",
        ),
        # a data set from the network has its transfer syntax in the presentation context
        lambda header: (
            header.transfer_syntax_uid != "" and not can_decode(header.transfer_syntax_uid)
        ),
    ),
    (
        RefusalReason("wrong-body-part", "The header names a body part other than the breast."),
        _is_other_body_part,
    ),
    (COLOR_DOPPLER, _is_color_doppler),
    (
        RefusalReason(
            "elastography", "The image shows elastography; only B-mode images are analyzed."
        ),
        _is_elastography,
    ),
    (
        SPLIT_SCREEN,
        lambda header: (
            len(header.tissue_regions) > 1
            and sorted(header.tissue_regions)[-2] >= _SPLIT_SHARE * max(header.tissue_regions)
        ),
    ),
)
