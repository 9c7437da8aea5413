"""A database of the first release is upgraded and works as before, on both databases."""

from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from alembic import command
from pydicom.uid import (
    EncapsulatedPDFStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    SecondaryCaptureImageStorage,
)
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from db import audit, dead_letters, jobs, migrate, results, worklist
from db.engine import Database
from db.routes_file import RoutesFile
from db.schema import (
    Delivery,
    DeliveryStatus,
    Destination,
    Job,
    JobKind,
    JobStatus,
    Refusal,
    Review,
    Study,
    StudyStatus,
)
from dicom.results.catalogue import parse_spec
from dicom.results.profiles import DEFAULT_PROFILE
from tests.db import old_release
from tests.db.old_release import AFTERWARDS, PASSWORD
from tests.webui.conftest import Clock as WebClock
from tests.webui.conftest import Visitor
from tests.workers.fake_images import FakePredictor, draw_frame, study, write_image
from tests.workers.gateway import Clock, Gateway
from tests.workers.pacs import CLASSES, run_pacs
from webui.app import create_app
from webui.settings import WebSettings
from workers.services import LazyPredictor, WorkerServices
from workers.settings import WorkerSettings

SEG, SR = "seg:binary", "sr:comprehensive"
"""The variants that ``seg`` and ``sr`` stood for in the first release."""
DEFAULT_CLASSES = (
    *CLASSES,
    EncapsulatedPDFStorage,
    SecondaryCaptureImageStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
)
"""What a destination of the default profile must accept."""


@pytest.fixture
def old(database: Database) -> Database:
    """At migration 0001, with rows."""
    configuration = migrate.alembic_config(database.engine)
    command.downgrade(configuration, "base")
    command.upgrade(configuration, "0001")
    with database.engine.begin() as connection:
        old_release.insert_rows(connection)
    return database


@pytest.fixture
def upgraded(old: Database) -> Database:
    migrate.upgrade(old.engine)
    return old


@pytest.fixture
def gateway(upgraded: Database, tmp_path: Path, free_port: int) -> Gateway:
    """Workers on the upgraded database and its files."""
    settings = WorkerSettings(home=tmp_path, min_free_bytes=0, delivery_connect_timeout_seconds=2)
    (tmp_path / "routes.toml").write_text(
        f"""
        [[destination]]
        name = "pacs"
        ae_title = "PACS"
        host = "127.0.0.1"
        port = {free_port}

        [[destination]]
        name = "reports"
        ae_title = "PACS"
        host = "127.0.0.1"
        port = {free_port}
        results = ["sr"]

        [[route]]
        name = "breast"
        destinations = ["pacs"]
        """
    )
    store = settings.file_store()
    store.prepare()
    old_release.extract_files(store.root)
    routes = RoutesFile(settings.effective_routes_file)
    predictor = LazyPredictor(None, lambda _: FakePredictor())
    return Gateway(WorkerServices(settings, upgraded, store, predictor, routes), Clock(AFTERWARDS))


def study_id(database: Database, family_name: str) -> UUID:
    with database.read() as session:
        query = select(Study.id).where(Study.patient_name.startswith(f"{family_name}^"))
        return session.scalars(query).one()


def test_the_upgraded_database_agrees_with_the_schema(upgraded: Database) -> None:
    assert migrate.is_current(upgraded.engine)
    assert migrate.find_drift(upgraded.engine) == []


def test_no_row_is_lost_on_the_way_up_and_down_again(old: Database) -> None:
    with old.engine.connect() as connection:
        before = old_release.read_rows(connection)
    migrate.upgrade(old.engine)
    command.downgrade(migrate.alembic_config(old.engine), "0001")
    with old.engine.connect() as connection:
        assert old_release.read_rows(connection) == before


def test_the_audit_chain_of_the_upgraded_database_is_intact(upgraded: Database) -> None:
    with upgraded.read() as session:
        verification = audit.verify(session)
    assert verification.intact
    assert verification.events == 76


def test_values_have_their_new_names(upgraded: Database) -> None:
    with upgraded.read() as session:
        statuses = set(session.scalars(select(Study.status)))
        kinds = set(session.scalars(select(Job.kind)))
        codes = set(session.scalars(select(Refusal.code)))
    assert statuses == set(StudyStatus)
    assert kinds == set(JobKind)
    assert codes == {"color-doppler"}


def test_destinations_keep_their_settings(upgraded: Database) -> None:
    with upgraded.read() as session:
        destinations = session.scalars(select(Destination).order_by(Destination.name)).all()
    assert {row.name: row.settings["ae_title"] for row in destinations} == {
        "old archive": "OLD",
        "pacs": "PACS",
        "reports": "PACS",
    }
    assert {row.kind for row in destinations} == {"dimse"}
    assert destinations[0].settings == {"ae_title": "OLD", "host": "127.0.0.1", "port": 1}


def test_the_worklist_lists_every_study_in_its_state(upgraded: Database) -> None:
    with upgraded.read() as session:
        page = worklist.load_page(session, worklist.WorklistFilter(), worklist.WorklistOrder())
    rows = {
        row.patient_name.partition("^")[0]: (row.status, row.review, row.delivery.state)
        for row in page.rows
    }
    assert rows == {
        "Berg": ("analyzed", "signed", "delivered"),
        "Cole": ("analyzed", "outdated", "delivered"),
        "Dahl": ("refused", "unreviewed", "delivered"),
        "Egger": ("analyzed", "draft", "none"),
        "Frank": ("analyzed", "unreviewed", "retrying"),
        "Gross": ("analyzed", "unreviewed", "failed"),
        "Haas": ("failed", "unreviewed", "none"),
        "Iten": ("analyzed", "signed", "waiting"),
        "Jung": ("analyzing", "unreviewed", "none"),
        "Kern": ("receiving", "unreviewed", "none"),
    }


def test_a_queued_job_is_claimed_and_finished(upgraded: Database) -> None:
    with upgraded.write() as session:
        query = select(Job).where(Job.kind == JobKind.ANALYZE, Job.status == JobStatus.QUEUED)
        job_id = session.scalars(query).one().id
        claim = jobs.claim(session, job_id, AFTERWARDS)
        assert claim is not None
        jobs.finish(session, claim, AFTERWARDS)
    with upgraded.read() as session:
        assert session.get_one(Job, job_id).status is JobStatus.DONE


def test_the_running_job_is_dispatched_again_after_its_lease(upgraded: Database) -> None:
    with upgraded.write() as session:
        query = select(Job.id).where(Job.status == JobStatus.RUNNING)
        running = session.scalars(query).one()
        assert running in [job_id for job_id, _ in jobs.take_due(session, AFTERWARDS)]
        claim = jobs.claim(session, running, AFTERWARDS)
    assert claim is not None
    assert (claim.attempt, claim.fencing_token) == (2, 2)


def test_dead_letters_are_listed_and_retried(upgraded: Database) -> None:
    with upgraded.write() as session:
        letters = dead_letters.list_dead_letters(session)
        assert {letter.kind for letter in letters} == {JobKind.ANALYZE, JobKind.DELIVER}
        for letter in letters:
            assert dead_letters.retry(session, letter.job_id, actor="user:admin", now=AFTERWARDS)
        assert audit.verify(session).intact
    with upgraded.read() as session:
        assert dead_letters.list_dead_letters(session) == []
        haas = session.get_one(Study, study_id(upgraded, "Haas"))
        assert haas.status is StudyStatus.RECEIVING


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE review SET birads = '6' WHERE signed_at IS NOT NULL",
        "DELETE FROM review_outline",
        "UPDATE result_object SET sha256 = ''",
        "DELETE FROM audit_event",
    ],
)
def test_final_rows_still_refuse_change(upgraded: Database, statement: str) -> None:
    with pytest.raises(DBAPIError), upgraded.engine.begin() as connection:
        connection.execute(text(statement))


def test_a_delivery_has_the_objects_of_its_old_selection(upgraded: Database) -> None:
    with upgraded.read() as session:
        query = select(Delivery).where(Delivery.status == DeliveryStatus.PENDING)
        deliveries = {row.destination.name: row for row in session.scalars(query)}
        specs = {
            name: [row.spec for row in results.list_delivery_objects(session, delivery, [SR])]
            for name, delivery in deliveries.items()
        }
    assert specs == {"pacs": [SEG, SR], "reports": [SR]}


def test_workers_finish_what_the_old_release_began(gateway: Gateway, free_port: int) -> None:
    with gateway.database.write() as session:
        for letter in dead_letters.list_dead_letters(session):
            dead_letters.retry(session, letter.job_id, actor="user:admin", now=AFTERWARDS)
    gateway.clock.skip(hours=2)  # beyond every backoff
    with gateway.database.read() as session:
        queued = set(session.scalars(select(Delivery.id)))
    with run_pacs(port=free_port, classes=DEFAULT_CLASSES) as archive:
        gateway.run_due()
    with gateway.database.read() as session:
        selections = {row.id: row.selection for row in session.scalars(select(Delivery))}
        assert all(set(selections[row_id]) <= {SEG, SR} for row_id in queued)
        assert [*map(str, DEFAULT_PROFILE.specs)] in [
            [str(parse_spec(spec)) for spec in selection] for selection in selections.values()
        ]
        assert set(session.scalars(select(Job.status))) == {JobStatus.DONE}
        assert set(session.scalars(select(Delivery.status))) == {DeliveryStatus.DELIVERED}
        assert audit.verify(session).intact
        review = session.scalars(select(Review).order_by(Review.created_at.desc())).first()
        assert review is not None
        signed = results.find_review_result_set(session, review.id)
        assert signed is not None
        assert {row.sop_instance_uid for row in signed.objects} <= set(archive.stored)


def test_a_new_study_is_received(gateway: Gateway, tmp_path: Path) -> None:
    received = gateway.receive(write_image(tmp_path / "new.dcm", draw_frame((100, 80, 20))))
    with gateway.database.read() as session:
        study = session.get_one(Study, received)
        assert (study.patient_name, study.status) == ("Muster^Anna", StudyStatus.RECEIVING)
        assert gateway.job(JobKind.ANALYZE).subject_id == received


def test_a_late_image_opens_the_next_revision_of_an_old_study(
    gateway: Gateway, tmp_path: Path
) -> None:
    berg = study_id(gateway.database, "Berg")
    with gateway.database.read() as session:
        uid = session.get_one(Study, berg).study_instance_uid
    path = tmp_path / "late.dcm"
    assert gateway.receive(write_image(path, draw_frame(), number=3, facts=study(uid))) == berg
    with gateway.database.read() as session:
        assert session.get_one(Study, berg).revision == 2


@pytest.fixture
def visitor(upgraded: Database, tmp_path: Path) -> Visitor:
    settings = WebSettings(home=tmp_path)
    settings.file_store().prepare()
    clock = WebClock(AFTERWARDS + timedelta(minutes=1))
    return Visitor(create_app(settings, upgraded, clock).test_client(), clock)


def test_the_pages_show_the_upgraded_studies(visitor: Visitor, upgraded: Database) -> None:
    assert visitor.sign_in("rita", PASSWORD).status_code == 303
    page = visitor.get("/worklist")
    assert page.status_code == 200
    with upgraded.read() as session:
        studies = session.scalars(select(Study)).all()
    assert len(studies) == 10
    for row in studies:
        assert row.accession_number in page.text
        assert visitor.get(f"/study/{row.id}").status_code == 200, row.patient_name
