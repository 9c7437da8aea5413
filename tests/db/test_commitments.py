"""Storage commitment requests and reports, on both databases."""

import json
from datetime import timedelta
from typing import Any

from sqlalchemy import select

from db import audit, commitments
from db.audit_tags import AuditTag
from db.engine import Database
from db.intake import Sender
from db.schema import AuditEvent, SenderCount
from tests.db.rows import NOW

PACS = Sender("PACS", "127.0.0.1")
TRANSACTION = "2.25.1"
LATER = NOW + timedelta(minutes=3)


def add_request(database: Database) -> None:
    with database.write() as session:
        commitments.record_request(session, TRANSACTION, "archive", {"1.2.5", "1.2.4"}, now=NOW)


def add_report(
    database: Database, committed: set[str], failed: dict[str, int], transaction: str = TRANSACTION
) -> bool:
    with database.write() as session:
        return commitments.record_report(
            session,
            transaction,
            frozenset(committed),
            failed,
            tag=AuditTag.LISTENER_COMMITMENT_ANSWERED,
            sender=PACS,
            now=LATER,
        )


def events(database: Database) -> list[tuple[str, dict[str, Any]]]:
    with database.read() as session:
        rows = session.scalars(select(AuditEvent).order_by(AuditEvent.seq))
        return [(row.tag, json.loads(row.details)) for row in rows]


def test_a_request_is_recorded_without_a_report(database: Database) -> None:
    add_request(database)
    with database.read() as session:
        row = commitments.find_request(session, TRANSACTION)
        assert row is not None
        assert (row.requested, row.answered_at) == (["1.2.4", "1.2.5"], None)
    (event,) = events(database)
    assert event[0] == "sonogate:commitment:asked"
    assert event[1]["objects"] == 2


def test_a_report_is_stored_and_is_an_audit_event(database: Database) -> None:
    add_request(database)
    assert add_report(database, {"1.2.4"}, {"1.2.5": 0x0112})
    with database.read() as session:
        row = commitments.find_request(session, TRANSACTION)
        assert row is not None
        assert (row.committed, row.failure_reasons) == (["1.2.4"], {"1.2.5": 0x0112})
        assert row.answered_at == LATER
        assert audit.verify(session).intact
    tag, details = events(database)[-1]
    assert tag == "listener:commitment:answered"
    assert details["failed"] == {"1.2.5": 0x0112}
    assert details["calling_ae"] == "PACS"


def test_a_repeated_report_changes_nothing_and_another_one_replaces_it(
    database: Database,
) -> None:
    add_request(database)
    for _ in range(2):
        assert add_report(database, {"1.2.4", "1.2.5"}, {})
    assert len(events(database)) == 2
    assert add_report(database, {"1.2.4"}, {"1.2.5": 0x0112})
    assert len(events(database)) == 3
    with database.read() as session:
        count = session.scalars(select(SenderCount)).one()
        assert (count.event, count.count) == ("commitment-answered", 2)


def test_objects_that_were_not_requested_are_ignored(database: Database) -> None:
    add_request(database)
    assert add_report(database, {"1.2.4", "9.9"}, {"9.8": 0x0112})
    with database.read() as session:
        row = commitments.find_request(session, TRANSACTION)
        assert row is not None
        assert (row.committed, row.failure_reasons) == (["1.2.4"], {})


def test_a_report_on_an_unknown_transaction_changes_nothing(database: Database) -> None:
    add_request(database)
    assert not add_report(database, {"1.2.4"}, {}, transaction="2.25.2")
    assert len(events(database)) == 1


def close(database: Database) -> None:
    with database.write() as session:
        commitments.close_request(session, TRANSACTION, "no answer", now=LATER)


def test_closing_a_request_is_an_audit_event(database: Database) -> None:
    add_request(database)
    close(database)
    with database.read() as session:
        row = commitments.find_request(session, TRANSACTION)
        assert row is not None
        assert (row.committed, row.failure_reasons, row.answered_at) == ([], {}, LATER)
    tag, details = events(database)[-1]
    assert tag == "sonogate:commitment:ended"
    assert (details["destination"], details["reason"]) == ("archive", "no answer")


def test_a_report_after_the_close_is_stored(database: Database) -> None:
    add_request(database)
    close(database)
    assert add_report(database, {"1.2.4"}, {"1.2.5": 0x0112})
    close(database)  # too late to matter
    with database.read() as session:
        row = commitments.find_request(session, TRANSACTION)
        assert row is not None
        assert (row.committed, row.failure_reasons) == (["1.2.4"], {"1.2.5": 0x0112})
    assert events(database)[-1][0] == "listener:commitment:answered"
