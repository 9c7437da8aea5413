"""Storage commitment in rows, on both databases."""

import json
from datetime import timedelta
from typing import Any

from sqlalchemy import select

from db import audit, commitments
from db.audit_tags import AuditTag
from db.engine import Database
from db.intake import Sender
from db.schema import AuditEvent, SenderCount
from tests.db.readings import NOW

PACS = Sender("PACS", "127.0.0.1")
TRANSACTION = "2.25.1"
LATER = NOW + timedelta(minutes=3)


def asked(database: Database) -> None:
    with database.write() as session:
        commitments.record_request(session, TRANSACTION, "archive", {"1.2.5", "1.2.4"}, now=NOW)


def answered(
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


def test_a_request_waits_for_its_answer(database: Database) -> None:
    asked(database)
    with database.read() as session:
        row = commitments.find_request(session, TRANSACTION)
        assert row is not None
        assert (row.requested, row.answered_at) == (["1.2.4", "1.2.5"], None)
    (told,) = events(database)
    assert told[0] == "sonogate:commitment:asked"
    assert told[1]["objects"] == 2


def test_an_answer_is_kept_and_told_in_the_chain(database: Database) -> None:
    asked(database)
    assert answered(database, {"1.2.4"}, {"1.2.5": 0x0112})
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


def test_the_same_answer_again_changes_nothing_and_another_one_replaces_it(
    database: Database,
) -> None:
    asked(database)
    for _ in range(2):
        assert answered(database, {"1.2.4", "1.2.5"}, {})
    assert len(events(database)) == 2
    assert answered(database, {"1.2.4"}, {"1.2.5": 0x0112})
    assert len(events(database)) == 3
    with database.read() as session:
        count = session.scalars(select(SenderCount)).one()
        assert (count.event, count.count) == ("commitment-answered", 2)


def test_objects_that_nobody_asked_about_are_left_out(database: Database) -> None:
    asked(database)
    assert answered(database, {"1.2.4", "9.9"}, {"9.8": 0x0112})
    with database.read() as session:
        row = commitments.find_request(session, TRANSACTION)
        assert row is not None
        assert (row.committed, row.failure_reasons) == (["1.2.4"], {})


def test_an_unknown_transaction_leaves_no_trace(database: Database) -> None:
    asked(database)
    assert not answered(database, {"1.2.4"}, {}, transaction="2.25.2")
    assert len(events(database)) == 1


def ended(database: Database) -> None:
    with database.write() as session:
        commitments.close_request(session, TRANSACTION, "no answer", now=LATER)


def test_a_request_that_got_no_further_is_closed_and_told(database: Database) -> None:
    asked(database)
    ended(database)
    with database.read() as session:
        row = commitments.find_request(session, TRANSACTION)
        assert row is not None
        assert (row.committed, row.failure_reasons, row.answered_at) == ([], {}, LATER)
    tag, details = events(database)[-1]
    assert tag == "sonogate:commitment:ended"
    assert (details["destination"], details["reason"]) == ("archive", "no answer")


def test_a_report_that_comes_all_the_same_is_taken(database: Database) -> None:
    asked(database)
    ended(database)
    assert answered(database, {"1.2.4"}, {"1.2.5": 0x0112})
    ended(database)  # too late to matter
    with database.read() as session:
        row = commitments.find_request(session, TRANSACTION)
        assert row is not None
        assert (row.committed, row.failure_reasons) == (["1.2.4"], {"1.2.5": 0x0112})
    assert events(database)[-1][0] == "listener:commitment:answered"
