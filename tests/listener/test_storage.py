"""Storing instances on both databases, one at a time and concurrently."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier
from uuid import uuid4

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import JPEGBaseline8Bit, JPEGExtended12Bit
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError

from db import audit, jobs
from db.engine import Database
from db.files import FileStore, flush_and_digest
from db.intake import Sender, StoreOutcome
from db.schema import Conflict, Instance, Job, JobKind, JobStatus, Series, Study, StudyStatus
from listener.attributes import build_received
from listener.part10 import read_complete_header
from listener.storage import InstanceStorage, StoreResult
from tests.listener.images import image, save, sibling

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
STABLE_AFTER = timedelta(seconds=15)
SENDER = Sender("MODALITY", "10.0.0.7")


@dataclass(frozen=True)
class StorageSetup:
    """A storage with its database and files."""

    storage: InstanceStorage
    database: Database
    files: FileStore

    def write_incoming(self, dataset: Dataset) -> Path:
        return save(dataset, self.files.spool / f"{uuid4()}.path")

    def receive(
        self, dataset: Dataset, *, sender: Sender = SENDER, now: datetime = NOW
    ) -> StoreResult:
        path = self.write_incoming(dataset)
        received = build_received(read_complete_header(path), sender)
        result = self.storage.store(path, received, stable_after=STABLE_AFTER, now=now)
        assert not path.exists()
        return result

    def count(self, table: type[Instance | Study | Series | Conflict | Job]) -> int:
        with self.database.read() as session:
            return session.scalar(select(func.count()).select_from(table)) or 0

    def list_files(self, folder: str = "instances") -> list[Path]:
        return sorted((self.files.root / folder).rglob("*.dcm"))

    def run_concurrently(self, *work: Callable[[], StoreResult]) -> Counter[StoreOutcome]:
        """Start all of them at the same moment in separate threads."""
        start = Barrier(len(work))

        def run(store: Callable[[], StoreResult]) -> StoreOutcome:
            start.wait(10)
            return store().outcome

        with ThreadPoolExecutor(len(work)) as threads:
            return Counter(threads.map(run, work))


@pytest.fixture
def setup(database: Database, tmp_path: Path) -> StorageSetup:
    files = FileStore(tmp_path / "files")
    files.prepare()
    return StorageSetup(InstanceStorage(database, files), database, files)


def test_a_new_instance_becomes_a_file_and_its_rows(setup: StorageSetup) -> None:
    result = setup.receive(image())
    assert result.outcome is StoreOutcome.STORED
    with setup.database.read() as session:
        row = session.get_one(Instance, result.instance_id)
        assert (row.sha256, row.size_bytes) == flush_and_digest(setup.files.path(row.file))
        assert row.series.study.patient_name == "Doe^Jane"
        assert audit.verify(session).intact


def test_the_same_bytes_again_are_a_duplicate(setup: StorageSetup) -> None:
    dataset = image()
    first, second = setup.receive(dataset), setup.receive(dataset)
    assert second == StoreResult(StoreOutcome.DUPLICATE, first.instance_id)
    assert len(setup.list_files()) == setup.count(Instance) == 1


def test_the_same_data_set_after_another_file_meta_is_a_duplicate(setup: StorageSetup) -> None:
    dataset = image()
    setup.receive(dataset)
    dataset.file_meta.ImplementationVersionName = "NEWER_VERSION"
    assert setup.receive(dataset).outcome is StoreOutcome.DUPLICATE


def test_other_bytes_under_the_same_uid_are_stored_once_as_a_conflict(setup: StorageSetup) -> None:
    first = image()
    other = sibling(first, SOPInstanceUID=first.SOPInstanceUID, content=1)
    stored = setup.receive(first)
    before = setup.list_files()[0].read_bytes()
    assert setup.receive(other) == StoreResult(StoreOutcome.CONFLICT, stored.instance_id)
    assert setup.receive(other) == StoreResult(StoreOutcome.CONFLICT, stored.instance_id)
    assert [path.read_bytes() for path in setup.list_files()] == [before]
    assert len(setup.list_files("conflicts")) == setup.count(Conflict) == 1


def test_the_same_bytes_in_another_encoding_are_a_conflict(setup: StorageSetup) -> None:
    first = image(transfer_syntax=JPEGBaseline8Bit)
    setup.receive(first)
    first.file_meta.TransferSyntaxUID = JPEGExtended12Bit
    assert setup.receive(first).outcome is StoreOutcome.CONFLICT


def test_a_duplicate_restores_a_file_lost_from_the_disk(setup: StorageSetup) -> None:
    dataset = image()
    setup.receive(dataset)
    (path,) = setup.list_files()
    content = path.read_bytes()
    path.unlink()
    assert setup.receive(dataset).outcome is StoreOutcome.DUPLICATE
    assert path.read_bytes() == content


def test_other_bytes_never_replace_a_lost_file(setup: StorageSetup) -> None:
    first = image()
    setup.receive(first)
    setup.list_files()[0].unlink()
    other = sibling(first, SOPInstanceUID=first.SOPInstanceUID, content=1)
    assert setup.receive(other).outcome is StoreOutcome.CONFLICT
    assert not setup.list_files()


def test_a_file_stays_in_place_while_the_database_is_down(tmp_path: Path) -> None:
    files = FileStore(tmp_path / "files")
    files.prepare()
    database = Database(f"sqlite:///{tmp_path / 'never-migrated.db'}")
    setup = StorageSetup(InstanceStorage(database, files), database, files)
    path = setup.write_incoming(image())
    received = build_received(read_complete_header(path), SENDER)
    with pytest.raises(OperationalError):
        setup.storage.store(path, received, stable_after=STABLE_AFTER, now=NOW)
    assert path.exists()
    assert not setup.list_files()
    database.close()


def test_one_series_uid_in_two_studies_gives_two_series(setup: StorageSetup) -> None:
    first = image(PatientID="A")
    setup.receive(first)
    setup.receive(image(PatientID="B", SeriesInstanceUID=first.SeriesInstanceUID))
    with setup.database.read() as session:
        studies = {s.patient_id: s for s in session.scalars(select(Study))}
        assert [len(studies[p].series[0].instances) for p in "AB"] == [1, 1]


# ------------------------------------------------------------------------------ stable studies


def jobs_of(setup: StorageSetup) -> list[Job]:
    with setup.database.read() as session:
        return list(session.scalars(select(Job).order_by(Job.created_at)))


def test_each_instance_puts_off_the_analysis_again(setup: StorageSetup) -> None:
    first = image()
    setup.receive(first)
    setup.receive(sibling(first), now=NOW + timedelta(seconds=10))
    (job,) = jobs_of(setup)
    assert job.kind is JobKind.ANALYZE
    assert job.due_at == NOW + timedelta(seconds=10) + STABLE_AFTER


def test_a_duplicate_does_not_put_off_the_analysis(setup: StorageSetup) -> None:
    dataset = image()
    setup.receive(dataset)
    setup.receive(dataset, now=NOW + timedelta(seconds=10))
    assert [job.due_at for job in jobs_of(setup)] == [NOW + STABLE_AFTER]


def test_an_instance_after_the_claim_opens_the_next_revision(setup: StorageSetup) -> None:
    first = image()
    setup.receive(first)
    (job,) = jobs_of(setup)
    later = NOW + timedelta(minutes=1)
    with setup.database.write() as session:
        assert jobs.claim(session, job.id, later)
    setup.receive(sibling(first), now=later)
    earlier, new = jobs_of(setup)
    assert earlier.status is JobStatus.RUNNING
    assert (new.status, new.due_at) == (JobStatus.QUEUED, later + STABLE_AFTER)
    with setup.database.read() as session:
        study = session.scalars(select(Study)).one()
        assert (study.revision, study.status) == (2, StudyStatus.RECEIVING)


def test_a_duplicate_retries_a_study_in_the_dead_letter_queue(setup: StorageSetup) -> None:
    dataset = image()
    setup.receive(dataset)
    (job,) = jobs_of(setup)
    with setup.database.write() as session:
        claim = jobs.claim(session, job.id, NOW)
        assert claim
        jobs.fail(session, claim, "no such preset", NOW, permanent=True)
    assert setup.receive(dataset).outcome is StoreOutcome.DUPLICATE
    assert [job.status for job in jobs_of(setup)] == [JobStatus.QUEUED]


# ------------------------------------------------------------------------------ concurrency

SENDERS = [Sender("MODALITY", f"10.0.0.{number % 3}") for number in range(8)]


def test_eight_associations_with_one_uid_store_it_once(setup: StorageSetup) -> None:
    dataset = image()
    outcomes = setup.run_concurrently(
        *(lambda s=s: setup.receive(dataset, sender=s) for s in SENDERS)
    )
    assert outcomes == {StoreOutcome.STORED: 1, StoreOutcome.DUPLICATE: 7}
    assert len(setup.list_files()) == setup.count(Instance) == 1
    with setup.database.read() as session:
        assert audit.verify(session).events == 8


def test_eight_associations_with_one_study_create_it_once(setup: StorageSetup) -> None:
    first = image()
    images = [first, *(sibling(first) for _ in range(7))]
    outcomes = setup.run_concurrently(*(lambda i=i: setup.receive(i) for i in images))
    assert outcomes == {StoreOutcome.STORED: 8}
    assert (setup.count(Study), setup.count(Series), setup.count(Instance)) == (1, 1, 8)
    assert len(jobs_of(setup)) == 1
    with setup.database.read() as session:
        assert audit.verify(session).intact


def test_conflicts_duplicates_and_new_images_do_not_block_each_other(setup: StorageSetup) -> None:
    first = image()
    setup.receive(first)
    other = sibling(first, SOPInstanceUID=first.SOPInstanceUID, content=1)
    kinds = [first, first, other, other, other, sibling(first), sibling(first), image()]
    outcomes = setup.run_concurrently(*(lambda i=i: setup.receive(i) for i in kinds))
    assert outcomes == {StoreOutcome.STORED: 3, StoreOutcome.DUPLICATE: 2, StoreOutcome.CONFLICT: 3}
    assert len(setup.list_files("conflicts")) == setup.count(Conflict) == 1
