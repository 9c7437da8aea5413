"""What a crash between rename and commit leaves behind."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from pydicom.dataset import Dataset
from sqlalchemy import select

from db import audit
from db.engine import Database
from db.files import FileStore, conflict_file, instance_file
from db.intake import Sender
from db.schema import AuditEvent, Conflict, Instance, Job
from listener import facts
from listener.journal import Journal
from listener.keeper import Keeper
from listener.part10 import read_whole
from listener.reconcile import Reconciler
from tests.listener.making import image, save, sibling

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
LONG_AGO = NOW - timedelta(hours=1)
LIMIT = NOW - timedelta(minutes=10)


class House:
    """A store, a database, and what settles their differences."""

    def __init__(self, database: Database, root: Path) -> None:
        self.database = database
        self.files = FileStore(root)
        self.files.prepare()
        self.keeper = Keeper(database, self.files)
        self.reconciler = Reconciler(database, self.files, self.keeper, Journal(database))

    def store(self, dataset: Dataset) -> None:
        part = save(dataset, self.files.spool / f"{uuid4()}.part")
        received = facts.received_from(read_whole(part), Sender("MODALITY", "10.0.0.7"))
        self.keeper.keep(part, received, stable_after=timedelta(seconds=15), now=NOW)
        for path in (self.files.root / "instances").rglob("*.dcm"):
            age(path)

    def orphan(self, dataset: Dataset, file: str = "") -> Path:
        path = self.files.path(file or instance_file(uuid4()))
        path.parent.mkdir(exist_ok=True)
        return age(save(dataset, path))

    def settle(self) -> dict[str, int]:
        return dict(self.reconciler.settle(untouched_since=LIMIT, now=NOW))

    def instances(self) -> list[Instance]:
        with self.database.read() as session:
            return list(session.scalars(select(Instance)))


def age(path: Path, at: datetime = LONG_AGO) -> Path:
    os.utime(path, (at.timestamp(), at.timestamp()))
    return path


@pytest.fixture
def house(database: Database, tmp_path: Path) -> House:
    return House(database, tmp_path / "files")


def test_an_orphan_gets_the_rows_that_it_lacks(house: House) -> None:
    orphan = house.orphan(image())
    content = orphan.read_bytes()
    assert house.settle() == {"stored": 1}
    (row,) = house.instances()
    assert house.files.path(row.file).read_bytes() == content
    assert (row.source_ae, row.source_address) == ("", "")
    with house.database.read() as session:
        assert session.scalars(select(Job)).one().due_at > NOW
        tags = [event.tag for event in session.scalars(select(AuditEvent))]
        assert tags == ["listener:instance:stored", "listener:orphan:settled"]
        assert audit.verify(session).intact


def test_files_with_rows_are_left_alone(house: House) -> None:
    dataset = image()
    house.store(dataset)
    house.store(sibling(dataset, SOPInstanceUID=dataset.SOPInstanceUID, content=1))
    for path in (house.files.root / "conflicts").iterdir():
        age(path)
    assert house.settle() == {}


def test_an_orphan_that_was_sent_again_since_goes(house: House) -> None:
    dataset = image()
    orphan = house.orphan(dataset)
    house.store(dataset)
    assert house.settle() == {"duplicate": 1}
    assert not orphan.exists()
    (row,) = house.instances()
    assert house.files.path(row.file).exists()


def test_an_orphan_with_other_bytes_than_we_hold_is_set_aside_as_a_conflict(house: House) -> None:
    dataset = image()
    house.store(dataset)
    other = sibling(dataset, SOPInstanceUID=dataset.SOPInstanceUID, content=1)
    for file in ("", conflict_file(uuid4())):
        house.orphan(other, file)
    assert house.settle() == {"conflict": 2}
    with house.database.read() as session:
        conflict = session.scalars(select(Conflict)).one()
        assert house.files.path(conflict.file).exists()


def test_a_young_file_is_left_to_its_listener(house: House) -> None:
    age(house.orphan(image()), NOW)
    assert house.settle() == {}


def test_a_second_round_finds_what_came_after_the_first(house: House) -> None:
    age(house.orphan(image()), NOW)
    assert house.settle() == {}
    later = house.reconciler.settle(untouched_since=NOW + timedelta(hours=1), now=NOW)
    assert later == {"stored": 1}


def test_what_is_no_dicom_is_moved_to_lost_and_found(house: House) -> None:
    path = house.files.root / "instances" / "aa" / "notes.dcm"
    path.parent.mkdir()
    path.write_text("no DICOM here")
    age(path)
    assert house.settle() == {"set-aside": 1}
    assert (house.files.root / "lost+found" / "notes.dcm").read_text() == "no DICOM here"
    with house.database.read() as session:
        assert session.scalars(select(AuditEvent)).one().tag == "listener:orphan:set-aside"
