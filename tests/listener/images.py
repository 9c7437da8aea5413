"""Small ultrasound images in any transfer syntax. Their pixels are not valid in most of them."""

from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    UltrasoundImageStorage,
    generate_uid,
)

PATIENT = "Doe^Jane"
PATIENT_ID = "PID-4711"


def image(
    *,
    transfer_syntax: str = ExplicitVRLittleEndian,
    sop_class: str = UltrasoundImageStorage,
    size_bytes: int = 64 * 64,
    content: int = 0,
    **attributes: Any,
) -> Dataset:
    """Return an image of its own study. ``size_bytes`` is a multiple of its width, 64 pixels.

    ``attributes`` replace attributes, or remove them when None.
    """
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, generate_uid()
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = generate_uid(), generate_uid()
    dataset.PatientName, dataset.PatientID = PATIENT, PATIENT_ID
    dataset.PatientBirthDate, dataset.PatientSex = "19700101", "F"
    dataset.StudyDate, dataset.StudyTime = "20250506", "101112"
    dataset.AccessionNumber, dataset.Modality = "ACC-1", "US"
    dataset.StudyDescription, dataset.SeriesDescription = "US breast left", "B-mode"
    dataset.SeriesNumber, dataset.InstanceNumber = 1, 1
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = size_bytes // 64, 64, 1
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    dataset.PhotometricInterpretation = "MONOCHROME2"
    _add_pixels(dataset, UID(transfer_syntax), bytes([content]) * size_bytes)
    for keyword, value in attributes.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    dataset.file_meta = _meta(dataset, transfer_syntax)
    return dataset


def sibling(of: Dataset, **attributes: Any) -> Dataset:
    """Return another image of the same series."""
    return image(
        StudyInstanceUID=of.StudyInstanceUID, SeriesInstanceUID=of.SeriesInstanceUID, **attributes
    )


def save(dataset: Dataset, path: Path) -> Path:
    dataset.save_as(path, enforce_file_format=True)
    return path


def _add_pixels(dataset: Dataset, syntax: UID, pixels: bytes) -> None:
    if syntax.is_encapsulated:
        dataset.add_new("PixelData", "OB", encapsulate([pixels]))
        dataset["PixelData"].is_undefined_length = True
    else:
        dataset.add_new("PixelData", "OW", pixels)


def _meta(dataset: Dataset, transfer_syntax: str) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = UID(transfer_syntax)
    meta.MediaStorageSOPClassUID = dataset.get("SOPClassUID", UltrasoundImageStorage)
    meta.MediaStorageSOPInstanceUID = dataset.get("SOPInstanceUID", generate_uid())
    return meta
