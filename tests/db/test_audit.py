"""The audit log: changed, removed and inserted events are found, on both databases."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from db import audit
from db.audit import GENESIS, AuditVerification
from db.audit_tags import AuditTag
from db.engine import Database, is_sqlite
from db.migrations.guards import GUARDS
from db.schema import AuditEvent, AuditHead

NOW = datetime(2026, 3, 4, 5, 6, 7, 891011, tzinfo=UTC)
STUDY = UUID("12345678-1234-5678-1234-567812345678")


def append(database: Database, count: int = 1) -> None:
    with database.write() as session:
        for number in range(count):
            audit.append(
                session,
                AuditTag.STUDY_VIEWED,
                actor="reader",
                now=NOW,
                study_id=STUDY,
                number=number,
                name="Müller 山田",
            )


def verify(database: Database, anchor: str = "") -> AuditVerification:
    with database.read() as session:
        return audit.verify(session, anchor)


def tamper(database: Database, *statements: str) -> None:
    """Change the database as its owner can: without triggers."""
    with database.engine.begin() as connection:
        _drop_guards(connection, sqlite=is_sqlite(database.url))
        for statement in statements:
            connection.execute(text(statement))


def _drop_guards(connection: Connection, *, sqlite: bool) -> None:
    for guard in GUARDS:
        on = "" if sqlite else f" ON {guard.table}"
        connection.execute(text(f"DROP TRIGGER {guard.name}{on}"))


@pytest.fixture
def chain(database: Database) -> Database:
    """Five events."""
    append(database, 5)
    return database


def test_an_empty_chain_is_intact(database: Database) -> None:
    assert verify(database) == AuditVerification(0, GENESIS)


def test_an_unchanged_chain_is_intact(chain: Database) -> None:
    verification = verify(chain)
    assert verification.intact
    assert verification.events == 5
    with chain.read() as session:
        assert verification.head == session.get_one(AuditHead, 1).hash


def test_each_event_holds_the_hash_of_the_one_before(chain: Database) -> None:
    with chain.read() as session:
        events = [session.get_one(AuditEvent, seq) for seq in range(1, 6)]
    hashes = [GENESIS, *(event.hash for event in events)]
    assert [event.previous_hash for event in events] == hashes[:-1]
    assert len(set(hashes)) == 6


@pytest.mark.parametrize(
    "column", ["tag = 'x:y:z'", "actor = 'other'", "details = '{}'", "study_id = NULL"]
)
def test_a_changed_event_is_found(chain: Database, column: str) -> None:
    tamper(chain, f"UPDATE audit_event SET {column} WHERE seq = 3")  # noqa: S608  fixed texts
    assert verify(chain).problem == "event 3 was changed"
    assert verify(chain).seq == 3


def test_a_changed_time_is_found(chain: Database) -> None:
    with chain.engine.begin() as connection:
        _drop_guards(connection, sqlite=is_sqlite(chain.url))
        event = AuditEvent.__table__
        other = NOW + timedelta(microseconds=1)
        connection.execute(event.update().where(AuditEvent.seq == 2).values(at=other))  # type: ignore[attr-defined]  # a Table, which the stubs call FromClause
    assert verify(chain).problem == "event 2 was changed"


@pytest.mark.parametrize("value", ["at = 'noon'", "at = 5", "study_id = 'zz'", "study_id = 7"])
def test_an_unreadable_value_is_a_change(sqlite_database: Database, value: str) -> None:
    append(sqlite_database, 5)  # PostgreSQL's types refuse such values
    tamper(sqlite_database, f"UPDATE audit_event SET {value} WHERE seq = 3")  # noqa: S608
    assert "was changed and cannot be read" in verify(sqlite_database).problem


@pytest.mark.parametrize(("seq", "found"), [(1, 2), (3, 4)])
def test_a_removed_event_is_found(chain: Database, seq: int, found: int) -> None:
    tamper(chain, f"DELETE FROM audit_event WHERE seq = {seq}")  # noqa: S608  fixed texts
    assert verify(chain).problem == f"event {seq} is missing"
    assert verify(chain).seq == found


def test_a_removed_last_event_is_found_by_the_head(chain: Database) -> None:
    tamper(chain, "DELETE FROM audit_event WHERE seq = 5")
    assert verify(chain).problem == "the head names event 5, but the last event is 4"


def test_an_inserted_event_is_found(chain: Database) -> None:
    tamper(
        chain,
        "INSERT INTO audit_event SELECT 6, at, tag, actor, study_id, details, hash, hash"
        " FROM audit_event WHERE seq = 5",
    )
    assert verify(chain).problem == "event 6 was changed"


def test_an_inserted_event_with_a_valid_hash_is_found_by_the_head(chain: Database) -> None:
    head = "SELECT seq, hash FROM audit_head"
    with chain.read() as session:
        seq, digest = session.execute(text(head)).one()
    append(chain)
    tamper(chain, f"UPDATE audit_head SET seq = {seq}, hash = '{digest}'")  # noqa: S608  our own
    assert verify(chain).problem == "the head names event 5, but the last event is 6"


def test_a_head_that_names_another_event_is_found(chain: Database) -> None:
    tamper(chain, "UPDATE audit_head SET seq = 9")
    assert verify(chain).problem == "the head names event 9, but the last event is 5"


def test_a_missing_head_is_found(chain: Database) -> None:
    tamper(chain, "DELETE FROM audit_head")
    assert verify(chain).problem == "the head of the chain is missing"


def test_swapped_events_are_found(chain: Database) -> None:
    tamper(
        chain,
        "UPDATE audit_event SET seq = 99 WHERE seq = 2",
        "UPDATE audit_event SET seq = 2 WHERE seq = 3",
        "UPDATE audit_event SET seq = 3 WHERE seq = 99",
    )
    assert verify(chain).problem == "event 2 does not follow the event before it"


def test_truncation_with_a_changed_head_is_found_by_an_anchor(chain: Database) -> None:
    anchor = verify(chain).head
    with chain.read() as session:
        third = session.get_one(AuditEvent, 3).hash
    tamper(
        chain,
        "DELETE FROM audit_event WHERE seq > 3",
        f"UPDATE audit_head SET seq = 3, hash = '{third}'",  # noqa: S608  our own hash
    )
    assert verify(chain).intact
    assert verify(chain, anchor=third).intact
    assert "anchor" in verify(chain, anchor).problem


def test_an_anchor_stays_valid_while_the_chain_grows(chain: Database) -> None:
    anchor = verify(chain).head
    append(chain, 3)
    assert verify(chain, anchor).intact


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_event SET actor = 'other' WHERE seq = 1",
        "DELETE FROM audit_event WHERE seq = 5",
        "DELETE FROM audit_head",
        "UPDATE audit_head SET seq = 1",
        "UPDATE audit_head SET hash = 'x'",
    ],
)
def test_triggers_reject_changes_to_the_chain(chain: Database, statement: str) -> None:
    with pytest.raises(DBAPIError, match="audit"), chain.engine.begin() as connection:
        connection.execute(text(statement))
    assert verify(chain).intact


def test_postgresql_rejects_truncate(postgresql_database: Database) -> None:
    append(postgresql_database)
    with (
        pytest.raises(DBAPIError, match="append-only"),
        postgresql_database.engine.begin() as connection,
    ):
        connection.execute(text("TRUNCATE audit_event"))


def test_concurrent_appends_form_one_chain(database: Database) -> None:
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: append(database, 3), range(8)))
    assert verify(database).events == 24
    assert verify(database).intact


def test_a_chain_that_grows_during_verification_is_intact(database: Database) -> None:
    append(database, 50)

    def walk(_: int) -> AuditVerification:
        return verify(database)

    def grow(_: int) -> None:
        append(database)

    with ThreadPoolExecutor(4) as threads:
        growing = [threads.submit(grow, number) for number in range(30)]
        verifications = list(threads.map(walk, range(10)))
    assert all(future.exception() is None for future in growing)
    assert [verification.problem for verification in verifications] == [""] * 10


def test_a_rolled_back_event_leaves_no_gap(database: Database) -> None:
    append(database)
    with suppress(RuntimeError), database.write() as session:
        audit.append(session, AuditTag.STUDY_VIEWED, actor="x", now=NOW)
        raise RuntimeError
    append(database)
    assert verify(database).events == 2


def test_the_hash_does_not_depend_on_the_time_zone() -> None:
    east = timezone(timedelta(hours=9))
    events = [
        AuditEvent(seq=1, at=at, tag="a:b:c", actor="x", details="{}", previous_hash=GENESIS)
        for at in (NOW, NOW.astimezone(east))
    ]
    assert len({audit.hash_event(event) for event in events}) == 1


def test_equal_details_have_the_same_text() -> None:
    assert audit.to_canonical_json({"b": 1, "a": "é"}) == audit.to_canonical_json(
        {"a": "é", "b": 1}
    )
    assert audit.to_canonical_json({"a": "é"}) == '{"a":"é"}'
