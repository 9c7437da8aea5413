from sqlalchemy import select

from db import intake, jobs, users
from db.schema import AuditEvent, Delivery, DeliveryStatus, Job, JobKind, JobStatus, Role
from tests.webui.conftest import Visitor
from tests.webui.seeding import SampleImage, Site, still

CYST = SampleImage([still("cyst", 1)], (0.1, 0.8, 0.1))


def _fail_delivery(site: Site) -> None:
    study_id = site.add_study(CYST)
    delivery_id = site.publish_results(study_id, site.add_destination("pacs"), "refused for good")
    with site.database.write() as session:
        job = session.scalars(select(Job).where(Job.kind == JobKind.DELIVER)).one()
        claim = jobs.claim(session, job.id, site.now)
        assert claim is not None
        jobs.fail(session, claim, "called AE not recognized", site.now, permanent=True)
        session.get_one(Delivery, delivery_id).status = DeliveryStatus.FAILED


def test_a_dead_letter_is_shown_and_retried(visitor: Visitor, site: Site) -> None:
    _fail_delivery(site)
    visitor.sign_in("admin")
    page = visitor.get("/admin/dead-letters").text
    assert "Delivery to pacs" in page
    assert "called AE not recognized" in page
    address = page.partition('action="/admin/dead-letters/')[2].partition('"')[0]
    assert visitor.post(f"/admin/dead-letters/{address}").status_code == 303
    with site.database.read() as session:
        job = session.scalars(select(Job).where(Job.kind == JobKind.DELIVER)).one()
        delivery = session.scalars(select(Delivery)).one()
        retried = session.scalars(
            select(AuditEvent).where(AuditEvent.tag == "web:job:retried")
        ).one()
    assert (job.status, job.attempts) == (JobStatus.QUEUED, 0)
    assert delivery.status is DeliveryStatus.RETRYING
    assert retried.actor == "user:admin"
    assert "The dead-letter queue is empty" in visitor.get("/admin/dead-letters").text
    visitor.post(f"/admin/dead-letters/{address}")
    assert "no longer in the dead-letter queue" in visitor.get("/admin/dead-letters").text


def test_all_dead_letters_are_retried_at_once(visitor: Visitor, site: Site) -> None:
    studies = {key: site.add_study(CYST) for key in ("first", "second")}
    with site.database.write() as session:
        for key, subject_id in studies.items():
            job = jobs.enqueue(
                session, JobKind.ANALYZE, key=key, subject_id=subject_id, now=site.now
            )
            assert job is not None
            job.status, job.finished_at = JobStatus.DEAD_LETTER, site.now
    visitor.sign_in("admin")
    assert "Retry all" in visitor.get("/admin/dead-letters").text
    assert visitor.post("/admin/dead-letters/retry").status_code == 303
    with site.database.read() as session:
        statuses = session.scalars(select(Job.status).where(Job.key.in_(studies))).all()
    assert statuses == [JobStatus.QUEUED] * 2
    assert "The dead-letter queue is empty" in visitor.get("/admin/dead-letters").text


def test_senders_are_shown_with_their_events(visitor: Visitor, site: Site) -> None:
    site.receive_study([CYST])
    with site.database.write() as session:
        stranger = intake.Sender("STRANGER", "10.0.0.9")
        intake.count_event(session, stranger, "association-refused", site.now)
    visitor.sign_in("admin")
    page = visitor.get("/admin/senders").text
    assert "Stored <b>1</b>" in page
    assert "STRANGER" in page
    assert "Association refused <b>1</b>" in page
    assert "without database rows: no file waits" in page


def test_destinations_are_shown_with_their_deliveries(visitor: Visitor, site: Site) -> None:
    site.publish_results(site.add_study(CYST), site.add_destination("pacs"))
    site.publish_results(
        site.add_study(CYST), site.add_destination("slow"), "no answer from the peer"
    )
    visitor.sign_in("admin")
    page = visitor.get("/admin/destinations").text
    assert "host <code>127.0.0.1</code>, port <code>104</code>" in page
    assert "no answer from the peer" in page


def test_a_new_user_gets_a_one_time_password_shown_once(
    visitor: Visitor, other_visitor: Visitor
) -> None:
    visitor.sign_in("admin")
    page = visitor.post(
        "/admin/users",
        username="Nora",
        role="radiologist",
        dicom_name="North^Nora",
        organization="Clinic",
    ).text
    password = page.partition('id="one-time">')[2].partition("<")[0]
    assert len(password) == 23
    assert password not in visitor.get("/admin/users").text
    answer = other_visitor.sign_in("nora", password)
    assert answer.headers["Location"] == "/worklist"
    assert other_visitor.get("/worklist").headers["Location"] == "/account/password"


def test_an_invalid_user_is_refused_with_what_to_do(visitor: Visitor) -> None:
    visitor.sign_in("admin")
    answer = visitor.post("/admin/users", username="A B", role="auditor")
    assert answer.status_code == 422
    assert "2 to 40 characters: lowercase letters" in answer.text
    assert visitor.post("/admin/users", username="rob", role="surgeon").status_code == 400
    answer = visitor.post("/admin/users", username="rob", role="radiologist")
    assert answer.status_code == 422
    assert "Enter the organization for which the radiologist signs." in answer.text
    assert visitor.post("/admin/users/ghost", role="auditor").status_code == 404


def test_an_account_is_updated_reset_and_deactivated(visitor: Visitor, site: Site) -> None:
    visitor.sign_in("admin")
    visitor.post("/admin/users/reader", role="auditor", display_name="R. Reader")
    page = visitor.post("/admin/users/reader/password").text
    assert "One-time password for reader" in page
    visitor.post("/admin/users/reader/active", active="no")
    with site.database.read() as session:
        reader = users.get_user(session, "reader")
    assert (reader.role, reader.display_name, reader.active) == (Role.AUDITOR, "R. Reader", False)
    visitor.post("/admin/users/reader/active", active="yes")
    assert "deactivated</small>" not in visitor.get("/admin/users").text


def test_the_last_administrator_cannot_be_deactivated(visitor: Visitor) -> None:
    visitor.sign_in("admin")
    answer = visitor.post("/admin/users/admin/active", active="no")
    assert answer.status_code == 422
    assert "last active administrator" in answer.text
