"""The header of an instance: tolerant of missing attributes, strict about its UIDs."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydicom.dataset import Dataset

from dicom.attributes import (
    get_date,
    get_integer,
    get_items,
    get_number,
    get_text,
    get_texts,
    get_time,
)
from dicom.errors import InvalidHeader
from dicom.files import read_without_pixels, suppress_value_logging

_UID: Final = re.compile(r"[0-9]+(\.[0-9]+)*")
_UID_MAX_LENGTH: Final = 64  # PS3.5 9.1
# CID 244 in SNOMED CT, and in SRT, which it replaced
_LATERALITY_CODES: Final = {"7771000": "L", "24028007": "R", "G-A101": "L", "G-A100": "R"}
TISSUE: Final = 1
COLOR_FLOW: Final = 2
"""Region Data Type (PS3.3 C.8.5.5.1.2)."""
Box = tuple[int, int, int, int]
"""x0, y0, x1, y1 in pixels, with exclusive ends."""


@dataclass(frozen=True)
class PatientAttributes:
    """Attributes of the Patient Module (PS3.3 C.7.1.1), empty when absent."""

    patient_id: str
    patient_name: str
    """Decoded to Unicode, with the separators of DICOM: `Family^Given=ideographic=phonetic`."""
    birth_date: str
    sex: str


@dataclass(frozen=True)
class CodedEntry:
    """A coded entry of the header (PS3.3 8.8)."""

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True)
class InstanceHeader:
    """The attributes of an instance that Sonogate uses, without its pixels."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    patient: PatientAttributes
    accession_number: str
    study_date: str
    """YYYYMMDD or empty."""
    study_time: str
    """HH, HHMM, HHMMSS, HHMMSS.FFFFFF or empty."""
    study_description: str
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
    frame_time_ms: float | None
    image_type: tuple[str, ...] = ()
    anatomic_region: CodedEntry | None = None
    tissue_regions: tuple[int, ...] = ()
    """Areas of the 2D tissue regions in square pixels (PS3.3 C.8.5.5)."""
    color_flow_regions: int = 0
    bits_allocated: int = 8
    bits_stored: int = 8
    samples_per_pixel: int = 1


def read_header(path: Path) -> InstanceHeader:
    """Read the header of `path` without its pixels.

    Raises NotDicom, TruncatedFile, and InvalidHeader when the transfer syntax or a UID that
    identifies the instance is missing or malformed.
    """
    header = parse_header(read_without_pixels(path))
    if not header.transfer_syntax_uid:
        raise InvalidHeader("TransferSyntaxUID", "missing")
    return header


def parse_header(dataset: Dataset) -> InstanceHeader:
    """Return the header of `dataset`. `transfer_syntax_uid` is empty without file meta.

    Raises InvalidHeader when a UID that identifies the instance is missing or malformed.
    """
    suppress_value_logging()
    region = _parse_anatomic_region(dataset)
    return InstanceHeader(
        study_instance_uid=_get_uid(dataset, "StudyInstanceUID"),
        series_instance_uid=_get_uid(dataset, "SeriesInstanceUID"),
        sop_instance_uid=_get_uid(dataset, "SOPInstanceUID"),
        sop_class_uid=_get_uid(dataset, "SOPClassUID"),
        transfer_syntax_uid=str(getattr(dataset, "file_meta", {}).get("TransferSyntaxUID", "")),
        patient=PatientAttributes(
            patient_id=get_text(dataset, "PatientID"),
            patient_name=get_text(dataset, "PatientName"),
            birth_date=get_date(dataset, "PatientBirthDate"),
            sex=get_text(dataset, "PatientSex"),
        ),
        accession_number=get_text(dataset, "AccessionNumber"),
        study_date=get_date(dataset, "StudyDate"),
        study_time=get_time(dataset, "StudyTime"),
        study_description=get_text(dataset, "StudyDescription"),
        modality=get_text(dataset, "Modality"),
        series_number=get_integer(dataset, "SeriesNumber"),
        series_description=get_text(dataset, "SeriesDescription"),
        body_part=get_text(dataset, "BodyPartExamined") or (region.meaning if region else ""),
        laterality=_parse_laterality(dataset),
        instance_number=get_integer(dataset, "InstanceNumber"),
        number_of_frames=max(1, get_integer(dataset, "NumberOfFrames") or 1),
        rows=get_integer(dataset, "Rows") or 0,
        columns=get_integer(dataset, "Columns") or 0,
        photometric_interpretation=get_text(dataset, "PhotometricInterpretation"),
        manufacturer=get_text(dataset, "Manufacturer"),
        manufacturer_model_name=get_text(dataset, "ManufacturerModelName"),
        frame_time_ms=_parse_frame_time_ms(dataset),
        image_type=get_texts(dataset, "ImageType"),
        anatomic_region=region,
        tissue_regions=tuple(
            (x1 - x0) * (y1 - y0) for _, (x0, y0, x1, y1) in list_tissue_regions(dataset)
        ),
        color_flow_regions=len(_list_2d_regions(dataset, COLOR_FLOW)),
        bits_allocated=get_integer(dataset, "BitsAllocated") or 8,
        bits_stored=get_integer(dataset, "BitsStored") or 8,
        samples_per_pixel=get_integer(dataset, "SamplesPerPixel") or 1,
    )


def list_tissue_regions(dataset: Dataset) -> list[tuple[Dataset, Box]]:
    """Return the 2D tissue regions (PS3.3 C.8.5.5) with their boxes."""
    regions = []
    for item in _list_2d_regions(dataset, TISSUE):
        corners = ("MinX0", "MinY0", "MaxX1", "MaxY1")
        x0, y0, x1, y1 = (get_integer(item, f"RegionLocation{corner}") for corner in corners)
        if x0 is None or y0 is None or x1 is None or y1 is None or x1 < x0 or y1 < y0:
            continue
        regions.append((item, (x0, y0, x1 + 1, y1 + 1)))
    return regions


def _list_2d_regions(dataset: Dataset, data_type: int) -> list[Dataset]:
    """Return the regions with Region Spatial Format 2D and the given Region Data Type."""
    return [
        item
        for item in get_items(dataset, "SequenceOfUltrasoundRegions")
        if get_integer(item, "RegionSpatialFormat") == 1
        and get_integer(item, "RegionDataType") == data_type
    ]


def _get_uid(dataset: Dataset, keyword: str) -> str:
    uid = get_text(dataset, keyword)
    if not uid:
        raise InvalidHeader(keyword, "missing")
    if not is_uid(uid):
        raise InvalidHeader(keyword, "not a UID (PS3.5 9.1)")
    return uid


def is_uid(text: str) -> bool:
    """Whether a text has the form of a UID (PS3.5 9.1)."""
    return len(text) <= _UID_MAX_LENGTH and _UID.fullmatch(text) is not None


def _parse_anatomic_region(dataset: Dataset) -> CodedEntry | None:
    regions = get_items(dataset, "AnatomicRegionSequence")
    if not regions:
        return None
    region = regions[0]
    entry = CodedEntry(
        get_text(region, "CodeValue"),
        get_text(region, "CodingSchemeDesignator"),
        get_text(region, "CodeMeaning"),
    )
    return entry if entry.value or entry.meaning else None


def _parse_laterality(dataset: Dataset) -> str:
    for keyword in ("ImageLaterality", "Laterality", "FrameLaterality"):
        laterality = get_text(dataset, keyword).upper()
        if laterality in ("L", "R"):
            return laterality
    for region in get_items(dataset, "AnatomicRegionSequence"):
        for modifier in get_items(region, "AnatomicRegionModifierSequence"):
            if laterality := _LATERALITY_CODES.get(get_text(modifier, "CodeValue"), ""):
                return laterality
    return ""


def _parse_frame_time_ms(dataset: Dataset) -> float | None:
    if (frame_time := get_number(dataset, "FrameTime")) and frame_time > 0:
        return frame_time
    for keyword in ("CineRate", "RecommendedDisplayFrameRate"):
        if (per_second := get_number(dataset, keyword)) and per_second > 0:
            return 1000 / per_second
    return None
