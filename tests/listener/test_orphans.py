"""Recovery of files without a row."""

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
from listener.attributes import build_received
from listener.events import EventRecorder
from listener.orphans import OrphanRecovery
from listener.part10 import read_complete_header
from listener.storage import InstanceStorage
from tests.listener.images import image, save, sibling

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
LONG_AGO = NOW - timedelta(hours=1)
LIMIT = NOW - timedelta(minutes=10)


class OrphanSetup:
    """A file store and a database with orphan recovery."""

    def __init__(self, database: Database, root: Path) -> None:
        self.database = database
        self.files = FileStore(root)
        self.files.prepare()
        self.storage = InstanceStorage(database, self.files)
        self.recovery = OrphanRecovery(database, self.files, self.storage, EventRecorder(database))

    def store(self, dataset: Dataset) -> None:
        path = save(dataset, self.files.spool / f"{uuid4()}.path")
        received = build_received(read_complete_header(path), Sender("MODALITY", "10.0.0.7"))
        self.storage.store(path, received, stable_after=timedelta(seconds=15), now=NOW)
        for file in (self.files.root / "instances").rglob("*.dcm"):
            age(file)

    def add_orphan(self, dataset: Dataset, file: str = "") -> Path:
        path = self.files.path(file or instance_file(uuid4(), NOW.date()))
        path.parent.mkdir(exist_ok=True)
        return age(save(dataset, path))

    def recover(self) -> dict[str, int]:
        return dict(self.recovery.recover(untouched_since=LIMIT, now=NOW))

    def instances(self) -> list[Instance]:
        with self.database.read() as session:
            return list(session.scalars(select(Instance)))


def age(path: Path, at: datetime = LONG_AGO) -> Path:
    os.utime(path, (at.timestamp(), at.timestamp()))
    return path


@pytest.fixture
def setup(database: Database, tmp_path: Path) -> OrphanSetup:
    return OrphanSetup(database, tmp_path / "files")


def test_an_orphan_gets_its_rows(setup: OrphanSetup) -> None:
    orphan = setup.add_orphan(image())
    content = orphan.read_bytes()
    assert setup.recover() == {"stored": 1}
    (row,) = setup.instances()
    assert setup.files.path(row.file).read_bytes() == content
    assert (row.source_ae, row.source_address) == ("", "")
    with setup.database.read() as session:
        assert session.scalars(select(Job)).one().due_at > NOW
        tags = [event.tag for event in session.scalars(select(AuditEvent))]
        assert tags == ["listener:instance:stored", "listener:orphan:settled"]
        assert audit.verify(session).intact


def test_files_with_rows_are_not_touched(setup: OrphanSetup) -> None:
    dataset = image()
    setup.store(dataset)
    setup.store(sibling(dataset, SOPInstanceUID=dataset.SOPInstanceUID, content=1))
    for path in (setup.files.root / "conflicts").iterdir():
        age(path)
    assert setup.recover() == {}


def test_an_orphan_received_again_since_is_removed(setup: OrphanSetup) -> None:
    dataset = image()
    orphan = setup.add_orphan(dataset)
    setup.store(dataset)
    assert setup.recover() == {"duplicate": 1}
    assert not orphan.exists()
    (row,) = setup.instances()
    assert setup.files.path(row.file).exists()


def test_an_orphan_with_other_bytes_under_a_stored_uid_is_a_conflict(
    setup: OrphanSetup,
) -> None:
    dataset = image()
    setup.store(dataset)
    other = sibling(dataset, SOPInstanceUID=dataset.SOPInstanceUID, content=1)
    for file in ("", conflict_file(uuid4())):
        setup.add_orphan(other, file)
    assert setup.recover() == {"conflict": 2}
    with setup.database.read() as session:
        conflict = session.scalars(select(Conflict)).one()
        assert setup.files.path(conflict.file).exists()


def test_a_young_file_is_not_recovered(setup: OrphanSetup) -> None:
    age(setup.add_orphan(image()), NOW)
    assert setup.recover() == {}


def test_a_second_recovery_finds_files_written_after_the_first(setup: OrphanSetup) -> None:
    age(setup.add_orphan(image()), NOW)
    assert setup.recover() == {}
    later = setup.recovery.recover(untouched_since=NOW + timedelta(hours=1), now=NOW)
    assert later == {"stored": 1}


def test_a_file_that_is_not_dicom_moves_to_quarantine(setup: OrphanSetup) -> None:
    path = setup.files.root / "instances" / "aa" / "notes.dcm"
    path.parent.mkdir()
    path.write_text("no DICOM here")
    age(path)
    assert setup.recover() == {"quarantined": 1}
    assert (setup.files.root / "quarantine" / "notes.dcm").read_text() == "no DICOM here"
    with setup.database.read() as session:
        assert session.scalars(select(AuditEvent)).one().tag == "listener:orphan:set-aside"
