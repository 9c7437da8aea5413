"""Files and rows together, on both databases, alone and in races."""

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
from listener import facts
from listener.keeper import Keeper, Kept
from listener.part10 import read_whole
from tests.listener.making import image, save, sibling

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
STABLE_AFTER = timedelta(seconds=15)
SENDER = Sender("MODALITY", "10.0.0.7")


@dataclass(frozen=True)
class Room:
    """A keeper with its store and database."""

    keeper: Keeper
    database: Database
    files: FileStore

    def spool(self, dataset: Dataset) -> Path:
        return save(dataset, self.files.spool / f"{uuid4()}.part")

    def keep(self, dataset: Dataset, *, sender: Sender = SENDER, now: datetime = NOW) -> Kept:
        part = self.spool(dataset)
        received = facts.received_from(read_whole(part), sender)
        kept = self.keeper.keep(part, received, stable_after=STABLE_AFTER, now=now)
        assert not part.exists()
        return kept

    def count(self, table: type[Instance | Study | Series | Conflict | Job]) -> int:
        with self.database.read() as session:
            return session.scalar(select(func.count()).select_from(table)) or 0

    def stored(self, folder: str = "instances") -> list[Path]:
        return sorted((self.files.root / folder).rglob("*.dcm"))

    def together(self, *work: Callable[[], Kept]) -> Counter[StoreOutcome]:
        """Do it all at the same moment, each in a thread of its own."""
        start = Barrier(len(work))

        def begin(one: Callable[[], Kept]) -> StoreOutcome:
            start.wait(10)
            return one().outcome

        with ThreadPoolExecutor(len(work)) as threads:
            return Counter(threads.map(begin, work))


@pytest.fixture
def room(database: Database, tmp_path: Path) -> Room:
    files = FileStore(tmp_path / "files")
    files.prepare()
    return Room(Keeper(database, files), database, files)


def test_a_new_instance_becomes_a_file_and_its_rows(room: Room) -> None:
    kept = room.keep(image())
    assert kept.outcome is StoreOutcome.STORED
    with room.database.read() as session:
        row = session.get_one(Instance, kept.instance_id)
        assert (row.sha256, row.size_bytes) == flush_and_digest(room.files.path(row.file))
        assert row.series.study.patient_name == "Doe^Jane"
        assert audit.verify(session).intact


def test_the_same_bytes_again_are_recognized(room: Room) -> None:
    dataset = image()
    first, second = room.keep(dataset), room.keep(dataset)
    assert second == Kept(StoreOutcome.DUPLICATE, first.instance_id)
    assert len(room.stored()) == room.count(Instance) == 1


def test_the_same_data_set_behind_another_file_meta_is_recognized(room: Room) -> None:
    dataset = image()
    room.keep(dataset)
    dataset.file_meta.ImplementationVersionName = "NEWER_VERSION"
    assert room.keep(dataset).outcome is StoreOutcome.DUPLICATE


def test_other_bytes_under_the_same_uid_are_set_aside_once(room: Room) -> None:
    first = image()
    other = sibling(first, SOPInstanceUID=first.SOPInstanceUID, content=1)
    held = room.keep(first)
    before = room.stored()[0].read_bytes()
    assert room.keep(other) == Kept(StoreOutcome.CONFLICT, held.instance_id)
    assert room.keep(other) == Kept(StoreOutcome.CONFLICT, held.instance_id)
    assert [path.read_bytes() for path in room.stored()] == [before]
    assert len(room.stored("conflicts")) == room.count(Conflict) == 1


def test_the_same_bytes_in_another_encoding_are_a_conflict(room: Room) -> None:
    first = image(transfer_syntax=JPEGBaseline8Bit)
    room.keep(first)
    first.file_meta.TransferSyntaxUID = JPEGExtended12Bit
    assert room.keep(first).outcome is StoreOutcome.CONFLICT


def test_a_file_lost_from_the_disk_comes_back_with_its_duplicate(room: Room) -> None:
    dataset = image()
    room.keep(dataset)
    (path,) = room.stored()
    content = path.read_bytes()
    path.unlink()
    assert room.keep(dataset).outcome is StoreOutcome.DUPLICATE
    assert path.read_bytes() == content


def test_other_bytes_never_take_the_place_of_a_lost_file(room: Room) -> None:
    first = image()
    room.keep(first)
    room.stored()[0].unlink()
    other = sibling(first, SOPInstanceUID=first.SOPInstanceUID, content=1)
    assert room.keep(other).outcome is StoreOutcome.CONFLICT
    assert not room.stored()


def test_a_database_that_is_down_leaves_the_part_where_it_is(tmp_path: Path) -> None:
    files = FileStore(tmp_path / "files")
    files.prepare()
    database = Database(f"sqlite:///{tmp_path / 'never-migrated.db'}")
    room = Room(Keeper(database, files), database, files)
    part = room.spool(image())
    received = facts.received_from(read_whole(part), SENDER)
    with pytest.raises(OperationalError):
        room.keeper.keep(part, received, stable_after=STABLE_AFTER, now=NOW)
    assert part.exists()
    assert not room.stored()
    database.close()


def test_one_series_uid_in_two_studies_keeps_their_images_apart(room: Room) -> None:
    first = image(PatientID="A")
    room.keep(first)
    room.keep(image(PatientID="B", SeriesInstanceUID=first.SeriesInstanceUID))
    with room.database.read() as session:
        studies = {s.patient_id: s for s in session.scalars(select(Study))}
        assert [len(studies[p].series[0].instances) for p in "AB"] == [1, 1]


# ------------------------------------------------------------------------------ stable studies


def jobs_of(room: Room) -> list[Job]:
    with room.database.read() as session:
        return list(session.scalars(select(Job).order_by(Job.created_at)))


def test_each_instance_puts_off_the_analysis_again(room: Room) -> None:
    first = image()
    room.keep(first)
    room.keep(sibling(first), now=NOW + timedelta(seconds=10))
    (job,) = jobs_of(room)
    assert job.kind is JobKind.ANALYZE
    assert job.due_at == NOW + timedelta(seconds=10) + STABLE_AFTER


def test_a_duplicate_does_not_put_off_the_analysis(room: Room) -> None:
    dataset = image()
    room.keep(dataset)
    room.keep(dataset, now=NOW + timedelta(seconds=10))
    assert [job.due_at for job in jobs_of(room)] == [NOW + STABLE_AFTER]


def test_an_instance_after_the_claim_opens_the_next_revision(room: Room) -> None:
    first = image()
    room.keep(first)
    (job,) = jobs_of(room)
    later = NOW + timedelta(minutes=1)
    with room.database.write() as session:
        assert jobs.claim(session, job.id, later)
    room.keep(sibling(first), now=later)
    earlier, new = jobs_of(room)
    assert earlier.status is JobStatus.RUNNING
    assert (new.status, new.due_at) == (JobStatus.QUEUED, later + STABLE_AFTER)
    with room.database.read() as session:
        study = session.scalars(select(Study)).one()
        assert (study.revision, study.status) == (2, StudyStatus.RECEIVING)


def test_sending_again_revives_a_study_that_was_given_up(room: Room) -> None:
    dataset = image()
    room.keep(dataset)
    (job,) = jobs_of(room)
    with room.database.write() as session:
        claim = jobs.claim(session, job.id, NOW)
        assert claim
        jobs.fail(session, claim, "no such preset", NOW, permanent=True)
    assert room.keep(dataset).outcome is StoreOutcome.DUPLICATE
    assert [job.status for job in jobs_of(room)] == [JobStatus.QUEUED]


# ------------------------------------------------------------------------------ races

SENDERS = [Sender("MODALITY", f"10.0.0.{number % 3}") for number in range(8)]


def test_eight_associations_storing_one_uid_keep_it_once(room: Room) -> None:
    dataset = image()
    outcomes = room.together(*(lambda s=s: room.keep(dataset, sender=s) for s in SENDERS))
    assert outcomes == {StoreOutcome.STORED: 1, StoreOutcome.DUPLICATE: 7}
    assert len(room.stored()) == room.count(Instance) == 1
    with room.database.read() as session:
        assert audit.verify(session).events == 8


def test_eight_associations_opening_one_study_share_it(room: Room) -> None:
    first = image()
    images = [first, *(sibling(first) for _ in range(7))]
    outcomes = room.together(*(lambda i=i: room.keep(i) for i in images))
    assert outcomes == {StoreOutcome.STORED: 8}
    assert (room.count(Study), room.count(Series), room.count(Instance)) == (1, 1, 8)
    assert len(jobs_of(room)) == 1
    with room.database.read() as session:
        assert audit.verify(session).intact


def test_conflicts_duplicates_and_new_images_do_not_block_each_other(room: Room) -> None:
    first = image()
    room.keep(first)
    other = sibling(first, SOPInstanceUID=first.SOPInstanceUID, content=1)
    kinds = [first, first, other, other, other, sibling(first), sibling(first), image()]
    outcomes = room.together(*(lambda i=i: room.keep(i) for i in kinds))
    assert outcomes == {StoreOutcome.STORED: 3, StoreOutcome.DUPLICATE: 2, StoreOutcome.CONFLICT: 3}
    assert len(room.stored("conflicts")) == room.count(Conflict) == 1
