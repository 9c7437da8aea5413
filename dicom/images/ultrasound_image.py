"""Pictures that are not DICOM yet (phantoms, PNGs) as ultrasound objects that any PACS takes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import (
    UID,
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


@dataclass(frozen=True)
class StudyContext:
    """The study that the picture becomes part of."""

    study_instance_uid: str
    patient_id: str
    patient_name: str
    """`Family^Given`, any script."""
    study_datetime: datetime
    """Aware, the object states its zone."""
    birth_date: str = ""
    """YYYYMMDD."""
    sex: str = "F"
    accession_number: str = ""
    study_id: str = "1"
    study_description: str = "US breast"
    referring_physician: str = ""
    laterality: str = ""
    """`L`, `R`, or empty when not known."""


def build_ultrasound_image(
    pixels: Frame | Sequence[Frame],
    *,
    study: StudyContext,
    spacing_mm: float | None = None,
    region: tuple[int, int, int, int] | None = None,
    transfer_syntax_uid: str = ExplicitVRLittleEndian,
    series_number: int = 1,
    instance_number: int = 1,
    series_description: str = "B-mode",
    frame_time_ms: float = _DEFAULT_FRAME_TIME_MS,
    software_version: str = "1",
) -> Dataset:
    """Return a US Image (one frame) or US Multi-frame Image (a sequence of frames).

    Frames are (rows, columns) or (rows, columns, 3) RGB, uint8, all of one shape. `spacing_mm` is
    the distance of neighboring pixels and makes a calibrated 2D tissue region out of `region`
    (x0, y0, x1, y1, exclusive ends; the whole picture when None). The transfer syntax is
    Explicit VR Little Endian or JPEG Baseline, where color becomes YBR_FULL_422. The UIDs follow
    from the study's and the two numbers, so wrapping again makes the same object.

    Raises ValueError for frames or a transfer syntax that it cannot take.
    """
    still = isinstance(pixels, np.ndarray)
    frames = _checked([pixels] if isinstance(pixels, np.ndarray) else list(pixels))
    if transfer_syntax_uid not in TRANSFER_SYNTAXES:
        raise ValueError(
            "build_ultrasound_image writes Explicit VR Little Endian or JPEG Baseline only"
        )
    sop_class = UltrasoundImageStorage if still else UltrasoundMultiFrameImageStorage
    dataset = Dataset()
    _add_identity(dataset, study, sop_class, series_number, instance_number)
    _add_study(dataset, study)
    _add_series(dataset, study, series_number, series_description)
    dataset.Manufacturer = MANUFACTURER
    dataset.ManufacturerModelName = IMAGE_MODEL
    dataset.SoftwareVersions = software_version
    dataset.InstanceNumber = str(instance_number)
    dataset.PatientOrientation = None
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "BREAST", "0001"]
    dataset.BurnedInAnnotation = "NO"
    dataset.AnatomicRegionSequence = [code_item(BREAST)]
    if not still:
        _add_cine(dataset, len(frames), frame_time_ms)
    _add_region(dataset, frames[0], region, spacing_mm)
    add_pixels(dataset, frames, transfer_syntax_uid)
    return dataset


def _checked(frames: list[Frame]) -> list[Frame]:
    shapes = {frame.shape for frame in frames}
    if len(shapes) != 1:
        raise ValueError("build_ultrasound_image needs at least one frame, and all of one shape")
    shape = shapes.pop()
    if len(shape) not in (2, 3) or shape[2:] not in ((), (3,)) or 0 in shape:
        raise ValueError("a frame is (rows, columns) or (rows, columns, 3)")
    if any(frame.dtype != np.uint8 for frame in frames):
        raise ValueError("a frame is uint8")
    return frames


def _add_identity(
    dataset: Dataset, study: StudyContext, sop_class: UID, series_number: int, instance_number: int
) -> None:
    series = (study.study_instance_uid, str(series_number))
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = sop_class
    dataset.SOPInstanceUID = derived_uid("wrap", "instance", *series, str(instance_number))
    dataset.StudyInstanceUID = study.study_instance_uid
    dataset.SeriesInstanceUID = derived_uid("wrap", "series", *series)


def _add_study(dataset: Dataset, study: StudyContext) -> None:
    dataset.PatientName = study.patient_name
    dataset.PatientID = study.patient_id
    dataset.PatientBirthDate = study.birth_date
    dataset.PatientSex = study.sex
    dataset.StudyID = study.study_id
    dataset.StudyDescription = study.study_description
    dataset.AccessionNumber = study.accession_number
    dataset.ReferringPhysicianName = study.referring_physician
    date, time = f"{study.study_datetime:%Y%m%d}", f"{study.study_datetime:%H%M%S}"
    for moment in ("Study", "Series", "Acquisition", "Content"):
        setattr(dataset, f"{moment}Date", date)
        setattr(dataset, f"{moment}Time", time)
    if zone := f"{study.study_datetime:%z}":
        dataset.TimezoneOffsetFromUTC = zone


def _add_series(dataset: Dataset, study: StudyContext, number: int, description: str) -> None:
    dataset.Modality = "US"
    dataset.SeriesNumber = str(number)
    dataset.SeriesDescription = description
    dataset.BodyPartExamined = "BREAST"
    dataset.Laterality = study.laterality or None  # type 2C: empty says "not known"


def _add_cine(dataset: Dataset, count: int, frame_time_ms: float) -> None:
    dataset.NumberOfFrames = count
    dataset.FrameIncrementPointer = Tag("FrameTime")
    dataset.FrameTime = f"{frame_time_ms:g}"


def _add_region(
    dataset: Dataset,
    frame: Frame,
    box: tuple[int, int, int, int] | None,
    spacing_mm: float | None,
) -> None:
    if spacing_mm is None:
        return
    rows, columns = frame.shape[:2]
    x0, y0, x1, y1 = box or (0, 0, columns, rows)
    item = Dataset()
    item.RegionSpatialFormat = 1
    item.RegionDataType = 1
    item.RegionFlags = 0
    item.RegionLocationMinX0, item.RegionLocationMinY0 = x0, y0
    item.RegionLocationMaxX1, item.RegionLocationMaxY1 = x1 - 1, y1 - 1
    item.PhysicalUnitsXDirection = item.PhysicalUnitsYDirection = 3  # cm
    item.PhysicalDeltaX = item.PhysicalDeltaY = spacing_mm / _MM_PER_CM
    dataset.SequenceOfUltrasoundRegions = [item]
