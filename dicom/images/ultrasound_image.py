"""Build ultrasound images from pixels: of phantoms, and of PNG or JPEG files."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import (
    ExplicitVRLittleEndian,
    UltrasoundImageStorage,
    UltrasoundMultiFrameImageStorage,
)

from dicom.codes import BREAST, code_item
from dicom.equipment import IMAGE_MODEL, MANUFACTURER
from dicom.images.frames import Frame
from dicom.images.image_pixel import TRANSFER_SYNTAXES, add_pixels
from dicom.uids import derived_uid

_MM_PER_CM: Final = 10
_DEFAULT_FRAME_TIME_MS: Final = 40.0
_SERIES_NUMBER: Final = "1"


@dataclass(frozen=True)
class StudyContext:
    """Patient and study of a new image."""

    study_instance_uid: str
    patient_id: str
    patient_name: str
    """`Family^Given`, in any script."""
    study_datetime: datetime
    """With its time zone, if known."""
    birth_date: str = ""
    """YYYYMMDD."""
    sex: str = "F"
    accession_number: str = ""
    study_id: str = "1"
    study_description: str = "US breast"
    referring_physician: str = ""
    laterality: str = ""
    """`L`, `R`, or empty when unknown."""


def build_ultrasound_image(
    pixels: Frame | Sequence[Frame],
    *,
    study: StudyContext,
    spacing_mm: float | None = None,
    region: tuple[int, int, int, int] | None = None,
    transfer_syntax_uid: str = ExplicitVRLittleEndian,
    instance_number: int = 1,
    frame_time_ms: float = _DEFAULT_FRAME_TIME_MS,
) -> Dataset:
    """Return an Ultrasound Image, or an Ultrasound Multi-frame Image for a sequence of frames.

    Frames are (rows, columns) or (rows, columns, 3) RGB, uint8, all of the same shape.
    `spacing_mm` is the distance of adjacent pixels; it adds a calibrated 2D tissue region that
    covers `region` (x0, y0, x1, y1, exclusive ends), by default the whole image. The transfer
    syntax is Explicit VR Little Endian or JPEG Baseline; JPEG converts color to YBR_FULL_422. The
    UIDs derive from the study's UID and the instance number, so the same arguments give the same
    UIDs.

    Raises ValueError for frames or a transfer syntax that are not supported.
    """
    still = isinstance(pixels, np.ndarray)
    frames = [pixels] if isinstance(pixels, np.ndarray) else list(pixels)
    _check_frames(frames)
    if transfer_syntax_uid not in TRANSFER_SYNTAXES:
        raise ValueError("the transfer syntax must be Explicit VR Little Endian or JPEG Baseline")
    series = (study.study_instance_uid, _SERIES_NUMBER)
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = UltrasoundImageStorage if still else UltrasoundMultiFrameImageStorage
    dataset.SOPInstanceUID = derived_uid("wrap", "instance", *series, str(instance_number))
    dataset.StudyInstanceUID = study.study_instance_uid
    dataset.SeriesInstanceUID = derived_uid("wrap", "series", *series)
    _add_patient_and_study(dataset, study)
    dataset.Modality = "US"
    dataset.SeriesNumber = _SERIES_NUMBER
    dataset.SeriesDescription = "B-mode"
    dataset.BodyPartExamined = "BREAST"
    dataset.Laterality = study.laterality or None  # type 2C: empty means unknown
    dataset.Manufacturer = MANUFACTURER
    dataset.ManufacturerModelName = IMAGE_MODEL
    dataset.SoftwareVersions = "1"
    dataset.InstanceNumber = str(instance_number)
    dataset.PatientOrientation = None
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "BREAST", "0001"]
    dataset.BurnedInAnnotation = "NO"
    dataset.AnatomicRegionSequence = [code_item(BREAST)]
    if not still:
        dataset.NumberOfFrames = len(frames)
        dataset.FrameIncrementPointer = Tag("FrameTime")
        dataset.FrameTime = f"{frame_time_ms:g}"
    if spacing_mm is not None:
        rows, columns = frames[0].shape[:2]
        item = _build_region_item(region or (0, 0, columns, rows), spacing_mm)
        dataset.SequenceOfUltrasoundRegions = [item]
    add_pixels(dataset, frames, transfer_syntax_uid)
    return dataset


def _check_frames(frames: list[Frame]) -> None:
    shapes = {frame.shape for frame in frames}
    if len(shapes) != 1:
        raise ValueError("an image needs at least one frame, and all frames of the same shape")
    shape = shapes.pop()
    if len(shape) not in (2, 3) or shape[2:] not in ((), (3,)) or 0 in shape:
        raise ValueError("a frame must be (rows, columns) or (rows, columns, 3)")
    if any(frame.dtype != np.uint8 for frame in frames):
        raise ValueError("a frame must be uint8")


def _add_patient_and_study(dataset: Dataset, study: StudyContext) -> None:
    dataset.PatientName = study.patient_name
    dataset.PatientID = study.patient_id
    dataset.PatientBirthDate = study.birth_date
    dataset.PatientSex = study.sex
    dataset.StudyID = study.study_id
    dataset.StudyDescription = study.study_description
    dataset.AccessionNumber = study.accession_number
    dataset.ReferringPhysicianName = study.referring_physician
    for level in ("Study", "Series", "Acquisition", "Content"):
        setattr(dataset, f"{level}Date", f"{study.study_datetime:%Y%m%d}")
        setattr(dataset, f"{level}Time", f"{study.study_datetime:%H%M%S}")
    if zone := f"{study.study_datetime:%z}":
        dataset.TimezoneOffsetFromUTC = zone


def _build_region_item(box: tuple[int, int, int, int], spacing_mm: float) -> Dataset:
    x0, y0, x1, y1 = box
    item = Dataset()
    item.RegionSpatialFormat = 1
    item.RegionDataType = 1
    item.RegionFlags = 0
    item.RegionLocationMinX0, item.RegionLocationMinY0 = x0, y0
    item.RegionLocationMaxX1, item.RegionLocationMaxY1 = x1 - 1, y1 - 1
    item.PhysicalUnitsXDirection = item.PhysicalUnitsYDirection = 3  # cm
    item.PhysicalDeltaX = item.PhysicalDeltaY = spacing_mm / _MM_PER_CM
    return item
