"""A worker with its database and files, without sockets: the test receives files and runs jobs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

from sqlalchemy import select

from db import jobs
from db.engine import Database
from db.files import instance_file
from db.intake import (
    InstanceAttributes,
    ReceivedInstance,
    Sender,
    SeriesAttributes,
    StudyAttributes,
)
from db.schema import AuditEvent, Job, JobKind
from dicom.images.header import InstanceHeader, read_header
from dicom.results.catalogue import parse_spec
from tests.intake import record_stored
from workers.queue.runner import JobRunner, job_handlers
from workers.queue.slots import ActiveLeases, ConcurrencySlots
from workers.services import WorkerServices

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
SENDER = Sender("SCANNER", "127.0.0.1")


def stored(spec: str) -> str:
    """Return a result spec as rows store it."""
    return parse_spec(spec).explicit_text


def shortest(selection: Iterable[str]) -> str:
    """Return the specs of a row's selection as the routes file names them, with spaces between."""
    return " ".join(str(parse_spec(spec)) for spec in selection)


@dataclass
class Clock:
    """A clock that only moves when the test says so."""

    now: datetime = NOON

    def __call__(self) -> datetime:
        return self.now

    def skip(self, **by: float) -> None:
        self.now += timedelta(**by)


@dataclass
class Gateway:
    """A worker's services with a clock."""

    services: WorkerServices
    clock: Clock = field(default_factory=Clock)

    @property
    def database(self) -> Database:
        return self.services.database

    @property
    def runner(self) -> JobRunner:
        settings = self.services.settings
        leases = ActiveLeases(settings.lease, timedelta(hours=1))
        return JobRunner(
            self.services,
            job_handlers(self.services),
            ConcurrencySlots(4, 2, 1),
            leases,
            self.clock,
        )

    def receive(self, path: Path) -> UUID:
        """Store a file as the listener does. The study is stable at once; return its id."""
        instance_id = uuid4()
        file = instance_file(instance_id, self.clock().date())
        kept = self.services.store.write(file, path.read_bytes())
        received = _received(read_header(path))
        with self.database.write() as session:
            instance = record_stored(
                session, received, instance_id, kept, stable_after=timedelta(0), now=self.clock()
            )
            return instance.series.study_id

    def run_due(self) -> int:
        """Run the jobs that are due, and those that they queue. Return how many."""
        count = 0
        while due := self._due():
            for job_id, kind in due:
                self.runner.run(job_id, kind)
            count += len(due)
        return count

    def _due(self) -> Sequence[tuple[UUID, JobKind]]:
        with self.database.write() as session:
            return jobs.take_due(session, self.clock())

    def job(self, kind: JobKind) -> Job:
        """Return the newest job of a kind."""
        with self.database.read() as session:
            found = session.scalars(select(Job).where(Job.kind == kind).order_by(Job.created_at))
            return found.all()[-1]

    def tags(self) -> list[str]:
        with self.database.read() as session:
            tags = session.scalars(select(AuditEvent.tag).order_by(AuditEvent.seq))
            return [tag for tag in tags if tag.startswith("worker:")]


def _received(header: InstanceHeader) -> ReceivedInstance:
    patient = header.patient
    return ReceivedInstance(
        StudyAttributes(
            study_instance_uid=header.study_instance_uid,
            patient_id=patient.patient_id,
            patient_name=patient.patient_name,
            patient_birth_date=patient.birth_date,
            patient_sex=patient.sex,
            accession_number=header.accession_number,
            study_date=header.study_date,
            study_time=header.study_time,
            description=header.study_description,
        ),
        SeriesAttributes(
            series_instance_uid=header.series_instance_uid,
            modality=header.modality,
            number=header.series_number,
            description=header.series_description,
        ),
        InstanceAttributes(
            sop_instance_uid=header.sop_instance_uid,
            sop_class_uid=header.sop_class_uid,
            transfer_syntax_uid=header.transfer_syntax_uid,
            number=header.instance_number,
            number_of_frames=header.number_of_frames,
            rows=header.rows,
            columns=header.columns,
            frame_time_ms=header.frame_time_ms,
            laterality=header.laterality,
        ),
        SENDER,
    )
