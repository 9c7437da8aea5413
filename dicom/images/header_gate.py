"""What the networks were not made for is refused with a coded reason: here by the header alone,
before anything is decoded, in `dicom.images.pixel_gate` by what the pixels show.
"""

from collections.abc import Callable, Iterator
from typing import Final

from pydicom.dataset import Dataset

from dicom.equipment import MANUFACTURER, RESULT_MODEL
from dicom.images.frames import can_decode
from dicom.images.header import InstanceHeader, parse_header
from dicom.results.model import RefusalReason
from dicom.storage_classes import CAPTURE, MULTI_FRAME, ULTRASOUND

MINIMUM_SIDE_PX: Final = 32
# Sites write Body Part Examined in their own language, and machines write their preset. What is
# none of these words is taken for another part of the body.
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
"""Breast, left, right, both, axilla: in SNOMED CT, and in SRT which it replaced."""
_COLOR_MODES: Final = 0x0010 | 0x0020 | 0x0100
"""Color Doppler, color M-mode, color power: Image Type value 4 (PS3.3 C.8.5.6.1.1)."""
_ELASTOGRAPHY_WORDS: Final = ("ELASTO", "STRAIN", "SHEAR WAVE", "SHEARWAVE", "ARFI")
_SPLIT_SHARE: Final = 0.5
COLOR_DOPPLER: Final = RefusalReason(
    "color-doppler", "The image shows color Doppler; the networks know B-mode only."
)
SPLIT_SCREEN: Final = RefusalReason(
    "split-screen", "The image shows several B-mode views side by side; send them one by one."
)


def find_header_refusal(source: InstanceHeader | Dataset) -> RefusalReason | None:
    """Return the first reason not to analyze the instance, None when there is none.

    Looks at the header only. Codes: derived, not-ultrasound, no-pixels, too-small,
    nameless-frames, unsupported-transfer-syntax, wrong-body-part, color-doppler, elastography,
    split-screen.
    Raises InvalidHeader when a Dataset lacks the UIDs that identify it.
    """
    header = source if isinstance(source, InstanceHeader) else parse_header(source)
    return next(_refusals(header), None)


def _refusals(header: InstanceHeader) -> Iterator[RefusalReason]:
    for applies, code, text in _RULES:
        if applies(header):
            yield RefusalReason(code, text)


def _is_our_own(header: InstanceHeader) -> bool:
    return (header.manufacturer, header.manufacturer_model_name) == (MANUFACTURER, RESULT_MODEL)


def _is_not_ultrasound(header: InstanceHeader) -> bool:
    if header.sop_class_uid in ULTRASOUND:
        return header.modality not in {"US", ""}
    return header.sop_class_uid not in CAPTURE or header.modality != "US"


def _has_no_pixels(header: InstanceHeader) -> bool:
    return header.rows == 0 or header.columns == 0


def _is_too_small(header: InstanceHeader) -> bool:
    return min(header.rows, header.columns) < MINIMUM_SIDE_PX


def _has_nameless_frames(header: InstanceHeader) -> bool:
    return header.number_of_frames > 1 and header.sop_class_uid not in MULTI_FRAME


def _is_undecodable(header: InstanceHeader) -> bool:
    # a data set straight from the network carries its transfer syntax in the association instead
    return bool(header.transfer_syntax_uid) and not can_decode(header.transfer_syntax_uid)


def _is_another_body_part(header: InstanceHeader) -> bool:
    region = header.anatomic_region
    if region and region.value in _BREAST_CODES:
        return False
    word = header.body_part.upper()
    if not word or any(breast in word for breast in _BREAST_WORDS):
        return False
    return "".join(filter(str.isalnum, word)) not in _UNSPECIFIC_WORDS


def _is_color_doppler(header: InstanceHeader) -> bool:
    return header.color_flow_regions > 0 or bool(_imaging_modes(header) & _COLOR_MODES)


def _imaging_modes(header: InstanceHeader) -> int:
    modes = header.image_type[3] if len(header.image_type) > 3 else ""
    try:
        return int(modes, 16)
    except ValueError:
        return 0


def _is_elastography(header: InstanceHeader) -> bool:
    words = " ".join((*header.image_type, header.series_description)).upper()
    return any(word in words for word in _ELASTOGRAPHY_WORDS)


def _is_split_screen(header: InstanceHeader) -> bool:
    areas = sorted(header.tissue_regions, reverse=True)
    return len(areas) > 1 and areas[1] >= _SPLIT_SHARE * areas[0]


_RULES: Final[tuple[tuple[Callable[[InstanceHeader], bool], str, str], ...]] = (
    (_is_our_own, "derived", "This is a result that Sonogate made itself."),
    (_is_not_ultrasound, "not-ultrasound", "This is not an ultrasound image."),
    (_has_no_pixels, "no-pixels", "The object has no image pixels."),
    (_is_too_small, "too-small", f"A side is shorter than {MINIMUM_SIDE_PX} pixels."),
    (
        _has_nameless_frames,
        "nameless-frames",
        "Several frames in a class made for one: no result could name the frame that it means.",
    ),
    (
        _is_undecodable,
        "unsupported-transfer-syntax",
        "The pixels are encoded in a way that Sonogate keeps but cannot decode, as video is.",
    ),
    (
        _is_another_body_part,
        "wrong-body-part",
        "The header names a body part other than the breast.",
    ),
    (_is_color_doppler, COLOR_DOPPLER.code, COLOR_DOPPLER.text),
    (
        _is_elastography,
        "elastography",
        "The image shows elastography; the networks know B-mode only.",
    ),
    (_is_split_screen, SPLIT_SCREEN.code, SPLIT_SCREEN.text),
)
