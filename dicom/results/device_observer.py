"""The algorithm as the observer of a structured document."""

from highdicom.sr import DeviceObserverIdentifyingAttributes, ObserverContext
from pydicom.sr.codedict import codes

from dicom.equipment import MANUFACTURER, RESULT_MODEL
from dicom.results.model import Algorithm
from dicom.results.provenance import serial_number


def device_observer(algorithm: Algorithm) -> ObserverContext:
    """Return TID 1004 with the algorithm as the device."""
    device = DeviceObserverIdentifyingAttributes(
        uid=algorithm.device_uid,
        name=algorithm.name,
        manufacturer_name=MANUFACTURER,
        model_name=RESULT_MODEL,
        serial_number=serial_number(algorithm),
    )
    return ObserverContext(codes.DCM.Device, device)
