"""Attributes of hostile senders fit the columns of both databases."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from db.engine import Database
from db.files import StoredFile
from db.intake import Sender
from db.schema import Series, Study
from db.worklist import WorklistFilter, WorklistOrder, load_page
from dicom.images.header import InstanceHeader, PatientAttributes, read_header
from listener.attributes import build_received, build_sender, to_printable
from tests.dicom.images.test_header import NAMES, write_name
from tests.intake import record_stored
from tests.listener.images import image, save

SENDER = Sender("MODALITY", "10.0.0.7")
NOW = datetime(2026, 3, 4, tzinfo=UTC)
NASTY = "\0\ud800\n\x1b[31mé漢" * 600


def hostile_header() -> InstanceHeader:
    return InstanceHeader(
        study_instance_uid="1.2.3",
        series_instance_uid="1.2.3.4",
        sop_instance_uid="1.2.3.4.5",
        sop_class_uid="1.2.840.10008.5.1.4.1.1.6.1",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        patient=PatientAttributes(NASTY, NASTY, NASTY, NASTY),
        accession_number=NASTY,
        study_date=NASTY,
        study_time=NASTY,
        study_description=NASTY,
        modality=NASTY,
        series_number=10**30,
        series_description=NASTY,
        body_part=NASTY,
        laterality=NASTY,
        instance_number=-(10**30),
        number_of_frames=10**30,
        rows=10**30,
        columns=10**30,
        photometric_interpretation=NASTY,
        manufacturer=NASTY,
        manufacturer_model_name=NASTY,
        frame_time_ms=None,
    )


def test_both_databases_accept_a_hostile_header(database: Database) -> None:
    received = build_received(hostile_header(), build_sender(NASTY, "fe80::1%eth0"))
    file = StoredFile("instances/aa/x.dcm", "0" * 64, 1)
    with database.write() as session:
        record_stored(session, received, uuid4(), file, stable_after=timedelta(1), now=NOW)
    with database.read() as session:
        study = session.scalars(select(Study)).one()
        assert len(study.patient_name) == 1024
        assert study.patient_name.startswith("?[31mé漢")
        assert session.scalars(select(Series)).one().number is None


def test_names_in_every_script_are_not_changed(tmp_path: Path) -> None:
    name = "Yamada^Tarou=山田^太郎=やまだ^たろう"
    dataset = image(SpecificCharacterSet="ISO_IR 192", PatientName=name)
    header = read_header(save(dataset, tmp_path / "x.dcm"))
    assert build_received(header, SENDER).study.patient_name == name


def test_a_zone_is_not_part_of_an_address() -> None:
    assert build_sender("AE", "fe80::1%eth0") == Sender("AE", "fe80::1")


@settings(max_examples=50, deadline=None)
@given(st.text(), st.integers(1, 64))
def test_text_is_printable_and_fits(text: str, length: int) -> None:
    printable = to_printable(text, length)
    assert len(printable) <= length
    assert printable.isprintable()
    printable.encode()


@pytest.mark.parametrize("character_set", NAMES)
def test_names_in_every_character_set_reach_the_worklist_and_are_found_there(
    database: Database, tmp_path: Path, character_set: str
) -> None:
    name = NAMES[character_set]
    header = read_header(write_name(tmp_path / "image.dcm", character_set, name))
    received = build_received(header, SENDER)
    file = StoredFile("instances/1.dcm", "a" * 64, 1)
    with database.write() as session:
        record_stored(session, received, uuid4(), file, stable_after=timedelta(1), now=NOW)
    with database.read() as session:
        page = load_page(session, WorklistFilter(text=name.partition("^")[0]), WorklistOrder())
    assert [row.patient_name for row in page.rows] == [name]
