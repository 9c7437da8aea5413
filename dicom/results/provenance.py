"""Attributes that every result object has: patient, study, equipment and times.

Text is written in UTF-8 (ISO_IR 192), which covers every DICOM character set that an image may use.
"""

import re
from datetime import datetime
from typing import Final

from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from dicom.attributes import get_text
from dicom.codes import code_item
from dicom.equipment import MANUFACTURER, RESULT_MODEL
from dicom.results.copying import copy_values
from dicom.results.model import Algorithm, StudyResult
from dicom.results.patient_study import copy_patient_and_study
from dicom.results.source_image import SourceImage

UTF_8: Final = "ISO_IR 192"

_ACQUISITION: Final = (
    "Manufacturer",
    "InstitutionName",
    "InstitutionAddress",
    "InstitutionalDepartmentName",
    "InstitutionalDepartmentTypeCodeSequence",
    "StationName",
    "ManufacturerModelName",
    "DeviceSerialNumber",
    "DeviceUID",
    "UDISequence",
    "SoftwareVersions",
    "SpatialResolution",
    "DateOfLastCalibration",
    "TimeOfLastCalibration",
    "DateOfManufacture",
    "DateOfInstallation",
)
"""Attributes of both General Equipment (PS3.3 C.7.5.1) and Contributing Equipment (C.12.1)."""
_ZONE: Final = re.compile(r"[+-](0[0-9]|1[0-4])[0-5][0-9]")


def add_provenance(target: Dataset, source: SourceImage, result: StudyResult) -> None:
    """Add the patient, study and time zone of `source`, the equipment and the time of `result`."""
    target.SpecificCharacterSet = UTF_8
    if zone := _stated_zone(source.dataset):
        target.TimezoneOffsetFromUTC = zone
    copy_patient_and_study(source.dataset, target)
    target.StudyInstanceUID = source.header.study_instance_uid
    target.Manufacturer = MANUFACTURER
    target.ManufacturerModelName = RESULT_MODEL
    target.SoftwareVersions = [result.algorithm.name, result.algorithm.version]
    target.DeviceSerialNumber = serial_number(result.algorithm)
    add_times(target, result.produced_at)
    target.ContributingEquipmentSequence = _contributing_equipment(
        source.dataset, result.algorithm, in_its_zone(target, result.produced_at)
    )


def add_times(target: Dataset, moment: datetime) -> None:
    """Set creation, content and series date and time to `moment` in the time zone of `target`."""
    moment = in_its_zone(target, moment)
    for what in ("InstanceCreation", "Content", "Series"):
        setattr(target, f"{what}Date", f"{moment:%Y%m%d}")
        setattr(target, f"{what}Time", f"{moment:%H%M%S}")


def in_its_zone(dataset: Dataset, moment: datetime) -> datetime:
    """Convert `moment`, which must be timezone-aware, to the time zone of `dataset`.

    This is its Timezone Offset From UTC (0008,0201). If that is absent or invalid, it is the time
    zone of this machine (`TZ`), because scanners write local time.
    """
    zone = _stated_zone(dataset)
    return moment.astimezone(datetime.strptime(zone, "%z").tzinfo if zone else None)


def _stated_zone(dataset: Dataset) -> str:
    zone = get_text(dataset, "TimezoneOffsetFromUTC")
    return zone if _ZONE.fullmatch(zone) else ""


def serial_number(algorithm: Algorithm) -> str:
    """Return a serial number for this set of weights, made of the start of both digests."""
    return f"{algorithm.classifier_digest[:12]}-{algorithm.segmenter_digest[:12]}"


def date_time(moment: datetime) -> str:
    """Return `moment` as a DT value (PS3.5 6.2) with its offset from UTC."""
    return f"{moment:%Y%m%d%H%M%S%z}"


def _contributing_equipment(
    source: Dataset, algorithm: Algorithm, moment: datetime
) -> list[Dataset]:
    """Return the scanner, if its manufacturer is known, and the networks (PS3.3 C.12.1)."""
    processing = Dataset()
    processing.PurposeOfReferenceCodeSequence = [code_item(codes.DCM.ProcessingEquipment)]
    processing.Manufacturer = MANUFACTURER
    processing.ManufacturerModelName = algorithm.name
    processing.SoftwareVersions = algorithm.version
    processing.DeviceUID = algorithm.device_uid
    processing.ContributionDateTime = date_time(moment)
    processing.ContributionDescription = "; ".join(algorithm_parameters(algorithm))
    acquisition = Dataset()
    copy_values(source, acquisition, _ACQUISITION)
    if "Manufacturer" not in acquisition:  # type 1 here
        return [processing]
    acquisition.PurposeOfReferenceCodeSequence = [code_item(codes.DCM.AcquisitionEquipment)]
    return [acquisition, processing]


def algorithm_parameters(algorithm: Algorithm) -> list[str]:
    """Return the parameters of TID 4019: digests of the weights and, if set, the threshold."""
    threshold = algorithm.confidence_threshold
    return [
        f"classifier sha256:{algorithm.classifier_digest}",
        f"segmenter sha256:{algorithm.segmenter_digest}",
        *([f"no class below probability {threshold:g}"] if threshold else []),
    ]
