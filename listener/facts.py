"""An instance's header as rows take it: no value too long, none that a database refuses."""

from typing import Any, Final

from sqlalchemy import String
from sqlalchemy.orm import InstrumentedAttribute

from db.intake import (
    InstanceAttributes,
    ReceivedInstance,
    Sender,
    SeriesAttributes,
    StudyAttributes,
)
from db.schema import Instance, SenderCount, Series, Study
from dicom.images.header import InstanceHeader

_GREATEST_INTEGER: Final = 2**31 - 1  # INTEGER of PostgreSQL


def received_from(header: InstanceHeader, sender: Sender) -> ReceivedInstance:
    """Rows' worth of facts; text is clipped to its column, a number beyond reason is left out."""
    return ReceivedInstance(_study(header), _series(header), _instance(header), sender)


def sender_of(calling_ae: str, address: str) -> Sender:
    return Sender(
        _fit(calling_ae, SenderCount.calling_ae), _fit(address.split("%")[0], SenderCount.address)
    )


def clean(value: str, length: int) -> str:
    """Printable text of at most ``length`` characters.

    PostgreSQL takes neither NUL nor lone surrogates, and a line break would forge log lines.
    """
    valid = value.encode("utf-8", "replace").decode()
    return "".join(letter for letter in valid if letter.isprintable())[:length]


def _study(header: InstanceHeader) -> StudyAttributes:
    return StudyAttributes(
        study_instance_uid=header.study_instance_uid,
        patient_id=_fit(header.patient.patient_id, Study.patient_id),
        patient_name=_fit(header.patient.patient_name, Study.patient_name),
        patient_birth_date=_fit(header.patient.birth_date, Study.patient_birth_date),
        patient_sex=_fit(header.patient.sex, Study.patient_sex),
        accession_number=_fit(header.accession_number, Study.accession_number),
        study_date=_fit(header.study_date, Study.study_date),
        study_time=_fit(header.study_time, Study.study_time),
        description=_fit(header.study_description, Study.description),
    )


def _series(header: InstanceHeader) -> SeriesAttributes:
    return SeriesAttributes(
        series_instance_uid=header.series_instance_uid,
        modality=_fit(header.modality, Series.modality),
        number=_number(header.series_number),
        description=_fit(header.series_description, Series.description),
    )


def _instance(header: InstanceHeader) -> InstanceAttributes:
    return InstanceAttributes(
        sop_instance_uid=header.sop_instance_uid,
        sop_class_uid=header.sop_class_uid,
        transfer_syntax_uid=header.transfer_syntax_uid,
        number=_number(header.instance_number),
        number_of_frames=_number(header.number_of_frames) or 1,
        rows=_number(header.rows) or 0,
        columns=_number(header.columns) or 0,
        frame_time_ms=header.frame_time_ms,
        laterality=_fit(header.laterality, Instance.laterality),
    )


def _fit(value: str, column: InstrumentedAttribute[str]) -> str:
    kind: Any = column.type
    assert isinstance(kind, String)
    assert kind.length is not None
    return clean(value, kind.length)


def _number(value: int | None) -> int | None:
    return value if value is not None and abs(value) <= _GREATEST_INTEGER else None
