"""A header as plain facts: tolerant of what modalities leave out, strict about identity."""

import math
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence

from dicom.errors import InvalidHeader
from dicom.images.reading import open_header, quiet_libraries

_UID: Final = re.compile(r"[0-9]+(\.[0-9]+)*")
_TIME: Final = re.compile(r"[0-9]{2}([0-9]{2}([0-9]{2}(\.[0-9]{1,6})?)?)?")
_UID_MAX_LENGTH: Final = 64  # PS3.5 9.1
_SIDES: Final = {"L": "L", "R": "R"}
# CID 244: SNOMED CT, and the SRT codes that it replaced
_SIDE_CODES: Final = {"7771000": "L", "24028007": "R", "G-A101": "L", "G-A100": "R"}
TISSUE: Final = 1
COLOR_FLOW: Final = 2
# pydicom converts a value when it is asked for: so it is then that damaged bytes raise, and these
_DAMAGE: Final = (
    ArithmeticError,
    AttributeError,
    BytesLengthException,
    EOFError,
    LookupError,
    NotImplementedError,
    OSError,
    TypeError,
    ValueError,
    struct.error,
)
Value = TypeVar("Value")


@dataclass(frozen=True)
class PatientFacts:
    """Patient Module (PS3.3 C.7.1.1); an absent or empty attribute is an empty string."""

    patient_id: str
    patient_name: str
    """Decoded to Unicode, with DICOM's own separators: `Family^Given=ideographic=phonetic`."""
    birth_date: str
    sex: str


@dataclass(frozen=True)
class CodedFact:
    """A code of a coding scheme (PS3.3 8.8), as it stands in the header."""

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True)
class InstanceHeader:
    """What Sonogate needs to know of an instance without touching its pixels."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    patient: PatientFacts
    accession_number: str
    study_date: str
    """YYYYMMDD, or empty."""
    study_time: str
    """HHMMSS or a shorter or finer form of it, or empty."""
    study_description: str
    referring_physician: str
    modality: str
    series_number: int | None
    series_description: str
    body_part: str
    laterality: str
    """`L`, `R` or empty."""
    instance_number: int | None
    number_of_frames: int
    rows: int
    """0 when the object has no pixels."""
    columns: int
    photometric_interpretation: str
    manufacturer: str
    manufacturer_model_name: str
    station_name: str
    frame_time_ms: float | None
    image_type: tuple[str, ...] = ()
    anatomic_region: CodedFact | None = None
    tissue_regions: tuple[int, ...] = ()
    """Areas in square pixels of the 2D tissue regions (PS3.3 C.8.5.5)."""
    color_flow_regions: int = 0
    bits_allocated: int = 8
    bits_stored: int = 8


def read_header(path: Path) -> InstanceHeader:
    """Read the header of `path`, stopping before the pixels.

    Raises NotDicom, TruncatedFile, and InvalidHeader when a UID that identifies the instance, or
    its transfer syntax, is missing or malformed.
    """
    dataset = open_header(path)
    header = header_of(dataset)
    if not header.transfer_syntax_uid:
        raise InvalidHeader("TransferSyntaxUID", "missing")
    return header


def header_of(dataset: Dataset) -> InstanceHeader:
    """Take the facts out of `dataset`; `transfer_syntax_uid` is empty if it has no file meta.

    Raises InvalidHeader when a UID that identifies the instance is missing or malformed.
    """
    quiet_libraries()
    region = _anatomic_region(dataset)
    return InstanceHeader(
        study_instance_uid=_uid(dataset, "StudyInstanceUID"),
        series_instance_uid=_uid(dataset, "SeriesInstanceUID"),
        sop_instance_uid=_uid(dataset, "SOPInstanceUID"),
        sop_class_uid=_uid(dataset, "SOPClassUID"),
        transfer_syntax_uid=str(getattr(dataset, "file_meta", {}).get("TransferSyntaxUID", "")),
        patient=_patient(dataset),
        accession_number=text(dataset, "AccessionNumber"),
        study_date=date(dataset, "StudyDate"),
        study_time=time(dataset, "StudyTime"),
        study_description=text(dataset, "StudyDescription"),
        referring_physician=text(dataset, "ReferringPhysicianName"),
        modality=text(dataset, "Modality"),
        series_number=_integer(dataset, "SeriesNumber"),
        series_description=text(dataset, "SeriesDescription"),
        body_part=text(dataset, "BodyPartExamined") or (region.meaning if region else ""),
        laterality=_laterality(dataset),
        instance_number=_integer(dataset, "InstanceNumber"),
        number_of_frames=max(1, _integer(dataset, "NumberOfFrames") or 1),
        rows=_integer(dataset, "Rows") or 0,
        columns=_integer(dataset, "Columns") or 0,
        photometric_interpretation=text(dataset, "PhotometricInterpretation"),
        manufacturer=text(dataset, "Manufacturer"),
        manufacturer_model_name=text(dataset, "ManufacturerModelName"),
        station_name=text(dataset, "StationName"),
        frame_time_ms=_frame_time_ms(dataset),
        image_type=_texts(dataset, "ImageType"),
        anatomic_region=region,
        tissue_regions=tuple(_tissue_areas(dataset)),
        color_flow_regions=sum(is_2d(r, COLOR_FLOW) for r in ultrasound_regions(dataset)),
        bits_allocated=_integer(dataset, "BitsAllocated") or 8,
        bits_stored=_integer(dataset, "BitsStored") or 8,
    )


def ultrasound_regions(dataset: Dataset) -> list[Dataset]:
    """Return the items of Sequence of Ultrasound Regions (0018,6011), empty when there are none."""
    return items(dataset, "SequenceOfUltrasoundRegions")


def is_2d(region: Dataset, data_type: int) -> bool:
    """Tell whether `region` is two-dimensional (PS3.3 C.8.5.5.1.1) and of `data_type` (.1.2)."""
    return _integer(region, "RegionSpatialFormat") == 1 and data_type == _integer(
        region, "RegionDataType"
    )


def region_box(region: Dataset) -> tuple[int, int, int, int] | None:
    """Return x0, y0, x1, y1, ends exclusive; None when a corner is missing or the box empty."""
    corners = [
        _integer(region, f"RegionLocation{corner}")
        for corner in ("MinX0", "MinY0", "MaxX1", "MaxY1")
    ]
    x0, y0, x1, y1 = corners
    if x0 is None or y0 is None or x1 is None or y1 is None or x1 < x0 or y1 < y0:
        return None
    return x0, y0, x1 + 1, y1 + 1


def text(dataset: Dataset, keyword: str) -> str:
    """Return the value decoded, several joined by a backslash as in DICOM; empty when absent."""
    return "\\".join(_texts(dataset, keyword))


def date(dataset: Dataset, keyword: str) -> str:
    """Return YYYYMMDD, else empty; the dotted form is ACR-NEMA's (PS3.5 6.2), still met in archives."""
    digits = text(dataset, keyword).replace(".", "")
    return digits if re.fullmatch(r"[0-9]{8}", digits) else ""


def time(dataset: Dataset, keyword: str) -> str:
    """Return HH, HHMM, HHMMSS or HHMMSS.FFFFFF, else empty; ACR-NEMA wrote colons (PS3.5 6.2)."""
    digits = text(dataset, keyword).replace(":", "")
    return digits if _TIME.fullmatch(digits) else ""


def number(dataset: Dataset, keyword: str) -> float | None:
    """Return a finite number, None when the attribute is absent, empty or not one."""
    value = _value(dataset, keyword, lambda found: float(str(found)))
    return value if value is not None and math.isfinite(value) else None


def items(dataset: Dataset, keyword: str) -> list[Dataset]:
    """Return the items of a sequence, empty when it is absent, empty or not a sequence."""
    found = converted(dataset, keyword)
    return list(found) if isinstance(found, Sequence) else []


def converted(dataset: Dataset, keyword: str) -> object:
    """Return the value as pydicom gives it, None when it is absent, empty or nonsense."""
    return _value(dataset, keyword, lambda value: value)


def _value(dataset: Dataset, keyword: str, convert: Callable[[object], Value]) -> Value | None:
    """Return the attribute converted, None when it is absent, empty or nonsense."""
    try:
        value = dataset.get(keyword)
        return None if value is None or value == "" else convert(value)
    except _DAMAGE:
        return None


def _texts(dataset: Dataset, keyword: str) -> tuple[str, ...]:
    return _value(dataset, keyword, _as_strings) or ()


def _as_strings(value: object) -> tuple[str, ...]:
    values = value if isinstance(value, MultiValue) else [value]
    return tuple(str(one).strip() for one in values)


def _integer(dataset: Dataset, keyword: str) -> int | None:
    return _value(dataset, keyword, lambda value: int(str(value)))


def _uid(dataset: Dataset, keyword: str) -> str:
    uid = text(dataset, keyword)
    if not uid:
        raise InvalidHeader(keyword, "missing")
    if len(uid) > _UID_MAX_LENGTH or not _UID.fullmatch(uid):
        raise InvalidHeader(keyword, "not a UID (PS3.5 9.1)")
    return uid


def _patient(dataset: Dataset) -> PatientFacts:
    return PatientFacts(
        patient_id=text(dataset, "PatientID"),
        patient_name=text(dataset, "PatientName"),
        birth_date=date(dataset, "PatientBirthDate"),
        sex=text(dataset, "PatientSex"),
    )


def _anatomic_region(dataset: Dataset) -> CodedFact | None:
    regions = items(dataset, "AnatomicRegionSequence")
    if not regions:
        return None
    value, scheme, meaning = (
        text(regions[0], keyword)
        for keyword in ("CodeValue", "CodingSchemeDesignator", "CodeMeaning")
    )
    return CodedFact(value, scheme, meaning) if value or meaning else None


def _laterality(dataset: Dataset) -> str:
    for keyword in ("ImageLaterality", "Laterality", "FrameLaterality"):
        if side := _SIDES.get(text(dataset, keyword).upper()):
            return side
    for region in items(dataset, "AnatomicRegionSequence"):
        for modifier in items(region, "AnatomicRegionModifierSequence"):
            if side := _SIDE_CODES.get(text(modifier, "CodeValue")):
                return side
    return ""


def _frame_time_ms(dataset: Dataset) -> float | None:
    if (frame_time := number(dataset, "FrameTime")) and frame_time > 0:
        return frame_time
    for keyword in ("CineRate", "RecommendedDisplayFrameRate"):
        if (per_second := number(dataset, keyword)) and per_second > 0:
            return 1000 / per_second
    return None


def _tissue_areas(dataset: Dataset) -> Iterator[int]:
    for region in ultrasound_regions(dataset):
        box = region_box(region)
        if box and is_2d(region, TISSUE):
            x0, y0, x1, y1 = box
            yield (x1 - x0) * (y1 - y0)
