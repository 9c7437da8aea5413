import csv
import hashlib
import io
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
from tests.webui.seeding import Hospital, Picture, still

CYST = Picture([still("cyst", 1)], (0.1, 0.8, 0.1))


def test_the_log_is_narrowed_by_event_actor_study_and_day(
    visitor: Visitor, hospital: Hospital
) -> None:
    study_id = hospital.study(CYST)
    hospital.receive([CYST])
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


def test_a_filter_that_no_page_sends_is_refused(visitor: Visitor) -> None:
    visitor.sign_in("auditor")
    for query in ("study=x", "from=yesterday", "page=x"):
        assert visitor.get(f"/audit?{query}").status_code == 400


def test_the_log_is_cut_into_pages_newest_first(visitor: Visitor, hospital: Hospital) -> None:
    with hospital.database.write() as session:
        for number in range(45):
            audit.append(session, AuditTag.STUDY_VIEWED, actor="test", now=hospital.now, n=number)
    visitor.sign_in("auditor")
    first = visitor.get("/audit?tag=web:study:viewed").text
    last = visitor.get("/audit?tag=web:study:viewed&page=3").text
    assert "Page 1 of 3, 45 events" in first
    assert "{&#34;n&#34;:44}" in first
    assert "{&#34;n&#34;:0}" in last


def test_verifying_shows_the_head_and_is_an_event(visitor: Visitor, hospital: Hospital) -> None:
    hospital.receive([CYST])
    visitor.sign_in("auditor")
    page = visitor.post("/audit/verify").text
    with hospital.database.read() as session:
        event = session.scalars(
            select(AuditEvent).where(AuditEvent.tag == "web:audit:verified")
        ).one()
    assert "The hash chain is intact" in page
    assert event.previous_hash in page
    assert json.loads(event.details) == {"events": event.seq - 1, "intact": True}


def test_a_changed_event_is_found_and_named(visitor: Visitor, hospital: Hospital) -> None:
    hospital.receive([CYST])
    with hospital.database.write() as session:
        for statement in guards.drop("sqlite"):
            session.execute(text(statement))
        session.execute(text("UPDATE audit_event SET actor = 'mallory' WHERE seq = 1"))
    visitor.sign_in("auditor")
    page = visitor.post("/audit/verify").text
    assert "The hash chain is broken: event 1 was changed" in page


def test_an_anchor_that_is_not_in_the_chain_is_told(visitor: Visitor) -> None:
    visitor.sign_in("auditor")
    assert "the anchor is not in the chain" in visitor.post("/audit/verify", anchor="0f" * 32).text


def test_an_export_holds_what_is_shown_and_its_hashes_can_be_checked(
    visitor: Visitor, hospital: Hospital
) -> None:
    study_id = hospital.study(CYST)
    visitor.sign_in("auditor")
    answer = visitor.post(f"/audit/export?study={study_id}", format="jsonl")
    events = [json.loads(line) for line in answer.text.splitlines()]
    assert [event["tag"] for event in events] == [
        "listener:instance:stored",
        "worker:study:analysed",
    ]
    assert "attachment" in answer.headers["Content-Disposition"]
    for event in events:
        covered = [event[name] for name in list(event)[:-1]]
        text_of = json.dumps(covered, ensure_ascii=False)
        assert hashlib.sha256(text_of.encode()).hexdigest() == event["hash"]


def test_a_spreadsheet_never_meets_a_formula(visitor: Visitor, hospital: Hospital) -> None:
    with hospital.database.write() as session:
        audit.append(session, AuditTag.STUDY_VIEWED, actor="=HYPERLINK(1)", now=hospital.now)
    visitor.sign_in("auditor")
    answer = visitor.post("/audit/export?tag=web:study:viewed", format="csv")
    head, line = csv.reader(io.StringIO(answer.text))
    assert head[:4] == ["seq", "at", "tag", "actor"]
    assert line[3] == "'=HYPERLINK(1)"


def test_an_export_is_an_event_and_its_format_is_one_of_two(
    visitor: Visitor, hospital: Hospital
) -> None:
    visitor.sign_in("auditor")
    assert visitor.post("/audit/export", format="xlsx").status_code == 400
    visitor.post("/audit/export?actor=worker", format="csv")
    with hospital.database.read() as session:
        tag = AuditEvent.tag == "web:audit:exported"
        event = session.scalars(select(AuditEvent).where(tag)).one()
    assert json.loads(event.details) == {"filter": {"actor": "worker"}}


# ------------------------------------------------------------------------------ the shadow preset


@pytest.fixture
def differing(hospital: Hospital) -> UUID:
    """The study of which the shadow says something else, beside one on which it agrees."""
    with hospital.database.write() as session:
        agreeing, instance = add_read_image(session, BENIGN)
        shadows.record(session, shadow_of(agreeing, instance, BENIGN), hospital.now)
        analysis, instance = add_read_image(session, BENIGN)
        shadows.record(session, shadow_of(analysis, instance, MALIGNANT), hospital.now)
        return analysis.study_id


def test_it_shows_how_often_the_shadow_agrees_and_leads_to_the_studies(
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


def test_an_auditor_is_led_to_the_events_of_the_study(visitor: Visitor, differing: UUID) -> None:
    visitor.sign_in("auditor")
    page = visitor.get("/audit/shadow").text
    assert f'href="/audit?study={differing}"' in page
    assert "/study/" not in page


def test_without_a_shadow_the_page_says_how_to_have_one(visitor: Visitor) -> None:
    visitor.sign_in("auditor")
    assert "Set SONOGATE_SHADOW_PRESET_DIR" in visitor.get("/audit/shadow").text


def test_readers_see_nothing_of_what_the_shadow_says(visitor: Visitor, hospital: Hospital) -> None:
    study_id = hospital.study(CYST)
    with hospital.database.write() as session:
        analysis = session.scalars(select(Analysis)).one()
        instance = session.scalars(select(Instance)).one()
        shadows.record(session, shadow_of(analysis, instance, MALIGNANT), hospital.now)
    visitor.sign_in("reader")
    assert visitor.get("/audit/shadow").status_code == 403
    page = visitor.get(f"/study/{study_id}").text
    assert "Shadow preset compared" in page
    assert "label malignant" not in page
    assert "candidate" not in page
