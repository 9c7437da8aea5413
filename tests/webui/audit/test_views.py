import json
from uuid import UUID

import pytest
from sqlalchemy import select, text

from db import audit, shadows
from db.audit_tags import AuditTag
from db.migrations import guards
from db.schema import Analysis, AuditEvent, Instance
from tests.db.compared import BENIGN, MALIGNANT, add_read_image, shadow_of
from tests.webui.conftest import Visitor
from tests.webui.seeding import SampleImage, Site, still

CYST = SampleImage([still("cyst", 1)], (0.1, 0.8, 0.1))


def test_the_log_is_filtered_by_event_actor_study_and_date(visitor: Visitor, site: Site) -> None:
    study_id = site.add_study(CYST)
    site.receive_study([CYST])
    visitor.sign_in("auditor")
    of_study = visitor.get(f"/audit?study={study_id}").text
    assert "2 events" in of_study
    assert "listener:instance:stored" in of_study
    assert "2 events" in visitor.get("/audit?tag=listener:instance:stored").text
    assert "2 events" in visitor.get("/audit?tag=listener:").text
    assert "1 event<" in visitor.get("/audit?actor=worker").text
    assert "No events match these filters" in visitor.get("/audit?from=2027-01-01").text
    assert "No events match these filters" in visitor.get("/audit?to=2026-11-19").text
    assert (
        "No events match these filters"
        not in visitor.get("/audit?from=2026-11-20&to=2026-11-20").text
    )


def test_the_log_has_pages_newest_first(visitor: Visitor, site: Site) -> None:
    with site.database.write() as session:
        for number in range(45):
            audit.append(session, AuditTag.STUDY_VIEWED, actor="test", now=site.now, n=number)
    visitor.sign_in("auditor")
    first = visitor.get("/audit?tag=web:study:viewed").text
    last = visitor.get("/audit?tag=web:study:viewed&page=3").text
    assert "Page 1 of 3, 45 events" in first
    assert "{&#34;n&#34;:44}" in first
    assert "{&#34;n&#34;:0}" in last


def test_a_verification_shows_the_head_and_is_an_audit_event(visitor: Visitor, site: Site) -> None:
    site.receive_study([CYST])
    visitor.sign_in("auditor")
    page = visitor.post("/audit/verify").text
    with site.database.read() as session:
        event = session.scalars(
            select(AuditEvent).where(AuditEvent.tag == "web:audit:verified")
        ).one()
    assert "The hash chain is intact" in page
    assert event.previous_hash in page
    assert json.loads(event.details) == {"events": event.seq - 1, "intact": True}


def test_a_changed_event_is_reported(visitor: Visitor, site: Site) -> None:
    site.receive_study([CYST])
    with site.database.write() as session:
        for statement in guards.drop("sqlite"):
            session.execute(text(statement))
        session.execute(text("UPDATE audit_event SET actor = 'mallory' WHERE seq = 1"))
    visitor.sign_in("auditor")
    page = visitor.post("/audit/verify").text
    assert "The hash chain is broken: event 1 was changed" in page


def test_an_earlier_head_that_is_not_in_the_chain_is_reported(visitor: Visitor) -> None:
    visitor.sign_in("auditor")
    assert "the anchor is not in the chain" in visitor.post("/audit/verify", anchor="0f" * 32).text


def test_an_export_is_an_audit_event_in_a_known_format(visitor: Visitor, site: Site) -> None:
    visitor.sign_in("auditor")
    assert visitor.post("/audit/export", format="xlsx").status_code == 400
    visitor.post("/audit/export?actor=worker", format="csv")
    with site.database.read() as session:
        tag = AuditEvent.tag == "web:audit:exported"
        event = session.scalars(select(AuditEvent).where(tag)).one()
    assert json.loads(event.details) == {"filter": {"actor": "worker"}}


@pytest.fixture
def differing(site: Site) -> UUID:
    """The study on which the presets disagree; they agree on a second one."""
    with site.database.write() as session:
        agreeing, instance = add_read_image(session, BENIGN)
        shadows.record(session, shadow_of(agreeing, instance, BENIGN), site.now)
        analysis, instance = add_read_image(session, BENIGN)
        shadows.record(session, shadow_of(analysis, instance, MALIGNANT), site.now)
        return analysis.study_id


def test_the_shadow_page_shows_agreement_and_links_to_studies(
    visitor: Visitor, differing: UUID
) -> None:
    visitor.sign_in("admin")
    assert 'href="/audit/shadow"' in visitor.get("/audit").text
    page = visitor.get("/audit/shadow").text
    assert "candidate 2" in page
    assert "1 (50 %)" in page
    assert "benign → malignant <b>1</b>" in page
    assert page.count("/study/") == 1
    assert f'href="/study/{differing}"' in page
    assert "Berg" not in page


def test_the_shadow_page_links_auditors_to_audit_events(visitor: Visitor, differing: UUID) -> None:
    visitor.sign_in("auditor")
    page = visitor.get("/audit/shadow").text
    assert f'href="/audit?study={differing}"' in page
    assert "/study/" not in page


def test_without_a_shadow_preset_the_page_says_how_to_configure_one(visitor: Visitor) -> None:
    visitor.sign_in("auditor")
    assert "Set SONOGATE_SHADOW_PRESET_DIR" in visitor.get("/audit/shadow").text


def test_readers_do_not_see_results_of_the_shadow_preset(visitor: Visitor, site: Site) -> None:
    study_id = site.add_study(CYST)
    with site.database.write() as session:
        analysis = session.scalars(select(Analysis)).one()
        instance = session.scalars(select(Instance)).one()
        shadows.record(session, shadow_of(analysis, instance, MALIGNANT), site.now)
    visitor.sign_in("reader")
    assert visitor.get("/audit/shadow").status_code == 403
    page = visitor.get(f"/study/{study_id}").text
    assert "Shadow preset compared" in page
    assert "label malignant" not in page
    assert "candidate" not in page
