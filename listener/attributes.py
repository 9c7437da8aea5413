"""Convert the attributes of a received instance to values that fit their columns."""

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

_MAX_INTEGER: Final = 2**31 - 1  # INTEGER of PostgreSQL


def build_received(header: InstanceHeader, sender: Sender) -> ReceivedInstance:
    """Return the rows' values: text truncated to its column, integers out of range left out."""
    study = StudyAttributes(
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
    series = SeriesAttributes(
        series_instance_uid=header.series_instance_uid,
        modality=_fit(header.modality, Series.modality),
        number=_limit(header.series_number),
        description=_fit(header.series_description, Series.description),
    )
    instance = InstanceAttributes(
        sop_instance_uid=header.sop_instance_uid,
        sop_class_uid=header.sop_class_uid,
        transfer_syntax_uid=header.transfer_syntax_uid,
        number=_limit(header.instance_number),
        number_of_frames=_limit(header.number_of_frames) or 1,
        rows=_limit(header.rows) or 0,
        columns=_limit(header.columns) or 0,
        frame_time_ms=header.frame_time_ms,
        laterality=_fit(header.laterality, Instance.laterality),
    )
    return ReceivedInstance(study, series, instance, sender)


def build_sender(calling_ae: str, address: str) -> Sender:
    """Return the sender, without the zone of an IPv6 address."""
    return Sender(
        _fit(calling_ae, SenderCount.calling_ae), _fit(address.split("%")[0], SenderCount.address)
    )


def to_printable(value: str, max_length: int) -> str:
    """Return the printable characters of `value`, at most `max_length`.

    PostgreSQL rejects NUL and lone surrogates, and a line break would forge log lines.
    """
    valid = value.encode("utf-8", "replace").decode()
    return "".join(letter for letter in valid if letter.isprintable())[:max_length]


def _fit(value: str, column: InstrumentedAttribute[str]) -> str:
    kind: Any = column.type
    assert isinstance(kind, String)
    assert kind.length is not None
    return to_printable(value, kind.length)


def _limit(value: int | None) -> int | None:
    return value if value is not None and abs(value) <= _MAX_INTEGER else None
