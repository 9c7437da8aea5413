"""What every result carries besides its findings: whose it is, and what made it out of what.

Patient and study are copied as text and written in UTF-8 (ISO_IR 192), whatever the source used:
each name that any DICOM character set can hold survives, beside sentences of our own that the
source's set might not hold.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Final

from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from dicom.codes import code_item
from dicom.equipment import MANUFACTURER, RESULT_MODEL
from dicom.header import date, text, time
from dicom.results import Algorithm, StudyResult
from dicom.source import TYPE_2, SourceImage

UTF_8: Final = "ISO_IR 192"

_TYPE_3: Final = (
    "IssuerOfPatientID",
    "PatientBirthTime",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "StudyDescription",
)
_ACQUISITION: Final = (
    "Manufacturer",
    "InstitutionName",
    "StationName",
    "ManufacturerModelName",
    "DeviceSerialNumber",
    "SoftwareVersions",
)


def add_provenance(target: Dataset, source: SourceImage, result: StudyResult) -> None:
    """Put `source`'s patient and study, our equipment and the time of `result` into `target`."""
    target.SpecificCharacterSet = UTF_8
    copy_texts(source.dataset, target, TYPE_2, keep_empty=True)
    copy_texts(source.dataset, target, _TYPE_3)
    target.StudyInstanceUID = source.header.study_instance_uid
    target.Manufacturer = MANUFACTURER
    target.ManufacturerModelName = RESULT_MODEL
    target.SoftwareVersions = [result.algorithm.name, result.algorithm.version]
    target.DeviceSerialNumber = serial_number(result.algorithm)
    add_times(target, result.produced_at)
    acquisition = _acquisition_equipment(source.dataset)
    target.ContributingEquipmentSequence = [
        *([acquisition] if acquisition else []),
        _processing_equipment(result.algorithm, result.produced_at),
    ]


def add_times(target: Dataset, moment: datetime) -> None:
    """Say `moment` wherever the object says when it was made, in `moment`'s own offset."""
    for what in ("InstanceCreation", "Content", "Series"):
        setattr(target, f"{what}Date", f"{moment:%Y%m%d}")
        setattr(target, f"{what}Time", f"{moment:%H%M%S}")


def copy_texts(
    source: Dataset, target: Dataset, keywords: tuple[str, ...], *, keep_empty: bool = False
) -> None:
    """Copy attributes by their decoded text; one that is absent or empty stays absent, or, with
    `keep_empty`, becomes empty. Dates and times are written as PS3.5 6.2 wants them.
    """
    for keyword in keywords:
        value = _reader(keyword)(source, keyword)
        if value or keep_empty:
            setattr(target, keyword, value or None)


def _reader(keyword: str) -> Callable[[Dataset, str], str]:
    return {"DA": date, "TM": time}.get(dictionary_VR(keyword), text)


def serial_number(algorithm: Algorithm) -> str:
    """Return what tells this set of weights from every other: the start of both digests."""
    return f"{algorithm.classifier_digest[:12]}-{algorithm.segmenter_digest[:12]}"


def date_time(moment: datetime) -> str:
    """Return a DT value (PS3.5 6.2) with its offset from UTC."""
    return f"{moment:%Y%m%d%H%M%S%z}"


def _acquisition_equipment(source: Dataset) -> Dataset | None:
    item = Dataset()
    copy_texts(source, item, _ACQUISITION)
    if "Manufacturer" not in item:  # type 1 here (PS3.3 C.12.1)
        return None
    item.PurposeOfReferenceCodeSequence = [code_item(codes.DCM.AcquisitionEquipment)]
    return item


def _processing_equipment(algorithm: Algorithm, moment: datetime) -> Dataset:
    item = Dataset()
    item.PurposeOfReferenceCodeSequence = [code_item(codes.DCM.ProcessingEquipment)]
    item.Manufacturer = MANUFACTURER
    item.ManufacturerModelName = algorithm.name
    item.SoftwareVersions = algorithm.version
    item.DeviceUID = algorithm.device_uid
    item.ContributionDateTime = date_time(moment)
    item.ContributionDescription = "; ".join(algorithm_parameters(algorithm))
    return item


def algorithm_parameters(algorithm: Algorithm) -> list[str]:
    """Name the very weights, and where they abstain if they do, so that a result can be made again
    (TID 4019).
    """
    threshold = algorithm.abstain_below
    return [
        f"classifier sha256:{algorithm.classifier_digest}",
        f"segmenter sha256:{algorithm.segmenter_digest}",
        *([f"no class below probability {threshold:g}"] if threshold else []),
    ]
