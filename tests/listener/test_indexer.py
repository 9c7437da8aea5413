"""From incoming files to rows on both databases, also after crashes."""

import os
import shutil
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from uuid import uuid4

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import JPEGBaseline8Bit, JPEGExtended12Bit
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from db import audit, intake, jobs
from db.engine import Database
from db.files import FileStore, flush_and_digest
from db.incoming import list_incoming
from db.schema import (
    AuditEvent,
    Conflict,
    Instance,
    Job,
    JobKind,
    JobStatus,
    SenderCount,
    Series,
    Study,
    StudyStatus,
)
from listener import indexer as indexer_module
from listener.incoming_files import IncomingFiles, Origin
from listener.indexer import BATCH_FILES, Indexer
from listener.origin import parse_file_meta
from listener.received_file import ReceivedFile, WaitingFile, read_received_file
from tests.listener.images import image, save, sibling

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
STABLE_AFTER = timedelta(seconds=15)


@dataclass
class IndexerSetup:
    """An indexer with its database and files, and a clock."""

    database: Database
    files: FileStore
    now: datetime = NOW
    indexed: Counter[str] = field(default_factory=Counter)

    def receive(self, *datasets: Dataset, calling_ae: str = "MODALITY") -> None:
        """Store objects as the listener does, one every millisecond."""
        for number, dataset in enumerate(datasets):
            origin = Origin(
                sop_class_uid=dataset.SOPClassUID,
                sop_instance_uid=dataset.SOPInstanceUID,
                transfer_syntax_uid=dataset.file_meta.TransferSyntaxUID,
                calling_ae=calling_ae,
                called_ae="SONOGATE",
                address="10.0.0.7",
                received_at=self.now + number * timedelta(milliseconds=1),
                stable_after=STABLE_AFTER,
            )
            incoming = IncomingFiles(self.files).create(origin)
            content = BytesIO()
            dataset.save_as(content, enforce_file_format=True)
            incoming.write(
                content.getvalue()[parse_file_meta(content.getvalue()).data_set_offset :]
            )
            incoming.store()
            incoming.publish()
        for path in self.files.incoming.iterdir():
            os.utime(path, (self.now.timestamp(),) * 2)

    def index(self) -> dict[str, int]:
        """Index what waits and return the outcomes."""
        with self.open() as indexer:
            return dict(sum(indexer.index_incoming(), Counter[str]()))

    def index_files_without_row(self) -> dict[str, int]:
        with self.open() as indexer:
            return dict(sum(indexer.index_files_without_row(), Counter[str]()))

    def open(self) -> Indexer:
        return Indexer(self.database, self.files, lambda: self.now)

    def take(self, *datasets: Dataset) -> dict[str, int]:
        """Receive and index objects."""
        self.receive(*datasets)
        return self.index()

    def count(self, table: type[Instance | Study | Series | Conflict | Job]) -> int:
        with self.database.read() as session:
            return session.scalar(select(func.count()).select_from(table)) or 0

    def list_files(self, folder: str = "instances") -> list[Path]:
        return sorted((self.files.root / folder).rglob("*.dcm"))

    def instances(self) -> list[Instance]:
        with self.database.read() as session:
            return list(session.scalars(select(Instance).order_by(Instance.id)))

    def jobs(self) -> list[Job]:
        with self.database.read() as session:
            return list(session.scalars(select(Job).order_by(Job.created_at)))

    def tags(self) -> list[str]:
        with self.database.read() as session:
            assert audit.verify(session).intact
            return list(session.scalars(select(AuditEvent.tag).order_by(AuditEvent.seq)))

    def counts(self) -> dict[str, int]:
        with self.database.read() as session:
            return {row.event: row.count for row in session.scalars(select(SenderCount))}

    def check(self, *datasets: Dataset) -> None:
        """Check that each object has one row, whose file is whole, and that nothing waits."""
        rows = self.instances()
        assert sorted(row.sop_instance_uid for row in rows) == sorted(
            {dataset.SOPInstanceUID for dataset in datasets}
        )
        for row in rows:
            path = self.files.path(row.file)
            assert flush_and_digest(path) == (row.sha256, row.size_bytes)
        assert sorted(row.file for row in rows) == [
            path.relative_to(self.files.root).as_posix() for path in self.list_files()
        ]
        assert list_incoming(self.files.incoming) == list_incoming(self.files.spool) == []


@pytest.fixture
def setup(database: Database, tmp_path: Path) -> IndexerSetup:
    files = FileStore(tmp_path / "files")
    files.prepare()
    return IndexerSetup(database, files)


@pytest.fixture
def sqlite_setup(sqlite_database: Database, tmp_path: Path) -> IndexerSetup:
    files = FileStore(tmp_path / "files")
    files.prepare()
    return IndexerSetup(sqlite_database, files)


def other_bytes(dataset: Dataset, content: int = 1) -> Dataset:
    """Return another object under the same UID."""
    return sibling(dataset, SOPInstanceUID=dataset.SOPInstanceUID, content=content)


# ------------------------------------------------------------------------------ new instances


def test_a_received_file_gets_its_rows_and_its_place(setup: IndexerSetup) -> None:
    dataset = image()
    assert setup.take(dataset) == {"stored": 1}
    setup.check(dataset)
    (row,) = setup.instances()
    assert row.file == f"instances/2026-03-04/{row.id}.dcm"
    assert (row.source_ae, row.source_address, row.received_at) == ("MODALITY", "10.0.0.7", NOW)
    assert setup.tags() == ["listener:instance:stored"]
    assert setup.counts() == {"stored": 1}
    with setup.database.read() as session:
        assert session.scalars(select(Study.patient_name)).one() == "Doe^Jane"


def test_files_are_taken_in_batches_from_the_oldest(sqlite_setup: IndexerSetup) -> None:
    first = image()
    datasets = [first, *(sibling(first) for _ in range(BATCH_FILES + 3))]
    sqlite_setup.receive(*datasets)
    with sqlite_setup.open() as indexer:
        batches = [outcomes["stored"] for outcomes in indexer.index_incoming()]
    assert batches == [BATCH_FILES, 4]
    sqlite_setup.check(*datasets)
    uids = [row.sop_instance_uid for row in sqlite_setup.instances()]
    assert uids == [dataset.SOPInstanceUID for dataset in datasets]


def test_one_series_uid_in_two_studies_gives_two_series(setup: IndexerSetup) -> None:
    first = image(PatientID="A")
    setup.take(first, image(PatientID="B", SeriesInstanceUID=first.SeriesInstanceUID))
    with setup.database.read() as session:
        studies = {s.patient_id: s for s in session.scalars(select(Study))}
        assert [len(studies[p].series[0].instances) for p in "AB"] == [1, 1]


# ------------------------------------------------------------------------------ duplicates


def test_the_same_data_set_again_is_a_duplicate(setup: IndexerSetup) -> None:
    dataset = image()
    setup.take(dataset)
    setup.now += timedelta(minutes=1)
    assert setup.take(dataset) == {"duplicate": 1}
    setup.check(dataset)
    assert setup.count(Instance) == 1


def test_the_same_data_set_twice_in_one_batch_is_a_duplicate(setup: IndexerSetup) -> None:
    dataset = image()
    assert setup.take(dataset, dataset) == {"stored": 1, "duplicate": 1}
    setup.check(dataset)


def test_other_bytes_under_the_same_uid_are_kept_once_as_a_conflict(setup: IndexerSetup) -> None:
    first = image()
    setup.take(first)
    before = setup.list_files()[0].read_bytes()
    assert setup.take(other_bytes(first)) == {"conflict": 1}
    assert setup.take(other_bytes(first)) == {"conflict": 1}
    assert [path.read_bytes() for path in setup.list_files()] == [before]
    assert len(setup.list_files("conflicts")) == setup.count(Conflict) == 1
    assert setup.tags().count("listener:instance:conflict") == 1
    assert setup.counts() == {"stored": 1, "conflict": 2}
    setup.check(first)


def test_conflicts_within_one_batch_are_recognized(setup: IndexerSetup) -> None:
    first = image()
    arrived = [first, other_bytes(first), other_bytes(first), other_bytes(first, 2), first]
    assert setup.take(*arrived) == {"stored": 1, "conflict": 3, "duplicate": 1}
    assert len(setup.list_files("conflicts")) == setup.count(Conflict) == 2
    setup.check(first)


def test_the_same_bytes_in_another_encoding_are_a_conflict(setup: IndexerSetup) -> None:
    first = image(transfer_syntax=JPEGBaseline8Bit)
    setup.take(first)
    first.file_meta.TransferSyntaxUID = JPEGExtended12Bit
    assert setup.take(first) == {"conflict": 1}


def test_a_duplicate_restores_a_file_lost_from_the_disk(setup: IndexerSetup) -> None:
    dataset = image()
    setup.take(dataset)
    setup.list_files()[0].unlink()
    setup.now += timedelta(minutes=1)
    assert setup.take(dataset) == {"duplicate": 1}
    setup.check(dataset)


def test_other_bytes_never_replace_a_lost_file(setup: IndexerSetup) -> None:
    first = image()
    setup.take(first)
    setup.list_files()[0].unlink()
    assert setup.take(other_bytes(first)) == {"conflict": 1}
    assert not setup.list_files()


def forget_data_set_digests(setup: IndexerSetup) -> None:
    """Make the rows those of version 0.1."""
    with setup.database.write() as session:
        for row in (*session.scalars(select(Instance)), *session.scalars(select(Conflict))):
            row.data_set_sha256 = None


def test_instances_of_an_earlier_version_are_compared_byte_for_byte(setup: IndexerSetup) -> None:
    first = image()
    setup.take(first, other_bytes(first))
    forget_data_set_digests(setup)
    setup.now += timedelta(minutes=1)
    assert setup.take(first, other_bytes(first)) == {"duplicate": 1, "conflict": 1}
    assert setup.count(Conflict) == 1
    setup.list_files()[0].write_bytes(b"damaged")
    assert setup.take(first) == {"conflict": 1}


# ------------------------------------------------------------------------------ stable studies


def test_each_instance_puts_off_the_analysis_again(setup: IndexerSetup) -> None:
    first = image()
    setup.take(first)
    setup.now += timedelta(seconds=10)
    setup.take(sibling(first))
    (job,) = setup.jobs()
    assert job.kind is JobKind.ANALYZE
    assert job.due_at == setup.now + STABLE_AFTER


def test_a_duplicate_does_not_put_off_the_analysis(setup: IndexerSetup) -> None:
    dataset = image()
    setup.take(dataset)
    setup.now += timedelta(seconds=10)
    setup.take(dataset)
    assert [job.due_at for job in setup.jobs()] == [NOW + STABLE_AFTER]


def test_the_quiet_time_begins_with_the_last_byte_and_not_with_the_row(
    setup: IndexerSetup,
) -> None:
    setup.receive(image())
    setup.now += timedelta(hours=1)
    setup.index()
    assert [job.due_at for job in setup.jobs()] == [NOW + STABLE_AFTER]


def test_an_instance_after_the_claim_opens_the_next_revision(setup: IndexerSetup) -> None:
    first = image()
    setup.take(first)
    (job,) = setup.jobs()
    setup.now += timedelta(minutes=1)
    with setup.database.write() as session:
        assert jobs.claim(session, job.id, setup.now)
    setup.take(sibling(first))
    earlier, new = setup.jobs()
    assert earlier.status is JobStatus.RUNNING
    assert (new.status, new.due_at) == (JobStatus.QUEUED, setup.now + STABLE_AFTER)
    with setup.database.read() as session:
        study = session.scalars(select(Study)).one()
        assert (study.revision, study.status) == (2, StudyStatus.RECEIVING)


def test_a_duplicate_retries_a_study_in_the_dead_letter_queue(setup: IndexerSetup) -> None:
    dataset = image()
    setup.take(dataset)
    (job,) = setup.jobs()
    with setup.database.write() as session:
        claim = jobs.claim(session, job.id, NOW)
        assert claim
        jobs.fail(session, claim, "no such preset", NOW, permanent=True)
    assert setup.take(dataset) == {"duplicate": 1}
    assert [job.status for job in setup.jobs()] == [JobStatus.QUEUED]


# ------------------------------------------------------------------------------ bad files


def test_a_damaged_file_moves_to_quarantine_and_does_not_block_others(
    setup: IndexerSetup,
) -> None:
    good = [image(), image()]
    setup.receive(good[0], image(), good[1])
    damaged = setup.files.incoming / list_incoming(setup.files.incoming)[1]
    content = damaged.read_bytes()[:-10]
    damaged.write_bytes(content)
    assert setup.index() == {"stored": 2, "quarantined": 1}
    setup.check(*good)
    (path,) = setup.list_files("quarantine")
    assert path.read_bytes() == content
    assert setup.tags().count("listener:orphan:set-aside") == 1
    assert setup.counts()["quarantined"] == 1


def test_a_file_that_the_database_refuses_does_not_block_others(
    setup: IndexerSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    def with_bad_value(waiting: WaitingFile, now: datetime) -> ReceivedFile:
        received = read_received_file(waiting, now)
        if received.received.study.patient_name == "Bad":
            return replace(received, received_at=NOW.replace(tzinfo=None))
        return received

    monkeypatch.setattr(indexer_module, "read_received_file", with_bad_value)
    good = [image(), image()]
    assert setup.take(good[0], image(PatientName="Bad"), good[1]) == {
        "stored": 2,
        "quarantined": 1,
    }
    monkeypatch.undo()
    setup.check(*good)


def test_a_name_that_is_not_that_of_a_received_file_is_left_alone(setup: IndexerSetup) -> None:
    notes = setup.files.incoming / "notes.txt"
    notes.write_text("mine")
    assert setup.index() == {}
    assert notes.exists()


def test_files_stay_in_place_while_the_database_is_down(tmp_path: Path) -> None:
    files = FileStore(tmp_path / "files")
    files.prepare()
    database = Database(f"sqlite:///{tmp_path / 'never-migrated.db'}")
    setup = IndexerSetup(database, files)
    setup.receive(image(), image())
    with pytest.raises(OperationalError):
        setup.index()
    assert len(list_incoming(files.incoming)) == 2
    database.close()


# ------------------------------------------------------------------------------ crashes


class _Crash(BaseException):
    """Stands for kill -9: no handler of the indexer may see it as an error."""


CRASH_POINTS: tuple[tuple[object, str], ...] = (
    (indexer_module, "read_received_file"),
    (indexer_module, "_link_or_replace"),
    (indexer_module, "flush_directory"),
    (intake, "record_arrivals"),
    (audit, "append_all"),
    (Path, "unlink"),
)


@pytest.mark.parametrize("call", [1, 2])
@pytest.mark.parametrize(("owner", "name"), CRASH_POINTS, ids=[name for _, name in CRASH_POINTS])
@pytest.mark.parametrize("is_after", [False, True])
def test_a_crash_at_any_moment_leaves_files_that_are_taken_again(
    setup: IndexerSetup,
    monkeypatch: pytest.MonkeyPatch,
    owner: object,
    name: str,
    call: int,
    is_after: bool,
) -> None:
    first = image()
    setup.take(first)
    second = sibling(first)
    setup.receive(second, first, other_bytes(first), sibling(second), second)
    waiting = {parse_uid(path) for path in setup.files.incoming.iterdir()}
    real: Callable[..., object] = getattr(owner, name)
    calls = 0

    def crash(*arguments: object, **options: object) -> object:
        nonlocal calls
        calls += 1
        if calls == call and not is_after:
            raise _Crash
        result = real(*arguments, **options)
        if calls == call:
            raise _Crash
        return result

    monkeypatch.setattr(owner, name, crash)
    with suppress(_Crash):
        setup.index()
    monkeypatch.undo()
    setup.index()
    setup.index_files_without_row()
    rows = {row.sop_instance_uid for row in setup.instances()}
    assert rows == waiting
    assert len(setup.list_files("conflicts")) == setup.count(Conflict) == 1
    assert list_incoming(setup.files.incoming) == []
    assert len(setup.list_files()) == len(rows) == 3
    for row in setup.instances():
        path = setup.files.path(row.file)
        assert flush_and_digest(path) == (row.sha256, row.size_bytes)
    tags = setup.tags()
    assert tags.count("listener:instance:stored") == 3
    assert tags.count("listener:instance:conflict") == 1
    assert "listener:orphan:settled" not in tags


def parse_uid(path: Path) -> str:
    origin = parse_file_meta(path.read_bytes()).origin
    assert origin is not None
    return origin.sop_instance_uid


def test_a_complete_file_in_the_spool_is_published(setup: IndexerSetup) -> None:
    dataset = image()
    setup.receive(dataset)
    (name,) = list_incoming(setup.files.incoming)
    (setup.files.incoming / name).rename(setup.files.spool / name)
    with setup.open() as indexer:
        assert indexer.recover_spool(NOW.timestamp() - 1) == 0
        assert indexer.recover_spool(NOW.timestamp() + 1) == 1
    setup.index()
    setup.check(dataset)


# ------------------------------------------------------------------------------ files without rows


def add_orphan(setup: IndexerSetup, dataset: Dataset, file: str = "") -> Path:
    path = setup.files.path(file or f"instances/ab/{uuid4()}.dcm")
    path.parent.mkdir(exist_ok=True)
    return save(dataset, path)


def test_an_orphan_gets_its_rows_where_it_is(setup: IndexerSetup) -> None:
    dataset = image()
    orphan = add_orphan(setup, dataset)
    content = orphan.read_bytes()
    assert setup.index_files_without_row() == {"stored": 1}
    setup.check(dataset)
    assert orphan.read_bytes() == content
    (row,) = setup.instances()
    assert (row.source_ae, row.source_address) == ("", "")
    assert setup.tags() == ["listener:instance:stored", "listener:orphan:settled"]
    assert setup.index_files_without_row() == {}


def test_an_orphan_without_an_id_gets_one(setup: IndexerSetup) -> None:
    dataset = image()
    orphan = add_orphan(setup, dataset, "instances/ab/x.dcm")
    assert setup.index_files_without_row() == {"stored": 1}
    setup.check(dataset)
    assert not orphan.exists()


def test_an_orphan_received_again_since_is_removed(setup: IndexerSetup) -> None:
    dataset = image()
    orphan = add_orphan(setup, dataset)
    setup.take(dataset)
    assert setup.index_files_without_row() == {"duplicate": 1}
    assert not orphan.exists()
    setup.check(dataset)


def test_an_orphan_with_other_bytes_under_a_stored_uid_is_a_conflict(setup: IndexerSetup) -> None:
    dataset = image()
    setup.take(dataset)
    for file in ("", f"conflicts/{uuid4()}.dcm"):
        add_orphan(setup, other_bytes(dataset), file)
    assert setup.index_files_without_row() == {"conflict": 2}
    with setup.database.read() as session:
        conflict = session.scalars(select(Conflict)).one()
        assert setup.files.path(conflict.file).exists()
    setup.check(dataset)


def test_a_conflict_whose_instance_is_lost_becomes_an_instance(setup: IndexerSetup) -> None:
    dataset = image()
    add_orphan(setup, dataset, f"conflicts/{uuid4()}.dcm")
    assert setup.index_files_without_row() == {"stored": 1}
    setup.check(dataset)


def test_an_orphan_that_is_not_dicom_moves_to_quarantine(setup: IndexerSetup) -> None:
    path = setup.files.root / "instances" / "aa" / "notes.dcm"
    path.parent.mkdir()
    path.write_text("no DICOM here")
    assert setup.index_files_without_row() == {"quarantined": 1}
    (kept,) = setup.list_files("quarantine")
    assert kept.read_text() == "no DICOM here"
    assert setup.tags() == ["listener:orphan:set-aside"]


def test_an_empty_database_gets_all_rows_from_the_files(
    setup: IndexerSetup, sqlite_database: Database, tmp_path: Path
) -> None:
    first = image()
    datasets = [first, *(sibling(first) for _ in range(3)), image(), image()]
    setup.take(*datasets, other_bytes(first))
    copied = FileStore(tmp_path / "copy")
    shutil.copytree(setup.files.root, copied.root)
    new = sqlite_database
    if setup.database.url == new.url:
        with new.write() as session:
            for table in ("conflict", "instance", "series", "study", "job"):
                session.connection().exec_driver_sql(f"DELETE FROM {table}")  # noqa: S608
    rebuilt = IndexerSetup(new, copied)
    assert rebuilt.index_files_without_row() == {"stored": len(datasets), "conflict": 1}
    rebuilt.check(*datasets)
    assert rebuilt.count(Study) == 3
    assert [row.file for row in rebuilt.instances()] == [
        path.relative_to(copied.root).as_posix() for path in rebuilt.list_files()
    ]
    (row, *_) = rebuilt.instances()
    assert (row.source_ae, row.source_address, row.received_at) == ("MODALITY", "10.0.0.7", NOW)
    assert rebuilt.index_files_without_row() == {}


def test_a_restored_copy_of_an_incoming_file_is_no_obstacle(setup: IndexerSetup) -> None:
    """A backup does not keep hard links: the same file is then there twice."""
    dataset = image()
    setup.receive(dataset)
    (name,) = list_incoming(setup.files.incoming)
    day = setup.files.root / "instances" / "2026-03-04"
    day.mkdir()
    shutil.copy(setup.files.incoming / name, day / f"{name.partition('.')[0]}.dcm")
    assert setup.index() == {"stored": 1}
    setup.check(dataset)


def test_an_error_of_the_database_is_raised(setup: IndexerSetup) -> None:
    setup.receive(image())
    with setup.database.write() as session:
        session.connection().exec_driver_sql("ALTER TABLE instance RENAME TO elsewhere")
    with pytest.raises(SQLAlchemyError):
        setup.index()
    with setup.database.write() as session:
        session.connection().exec_driver_sql("ALTER TABLE elsewhere RENAME TO instance")
    assert setup.index() == {"stored": 1}
