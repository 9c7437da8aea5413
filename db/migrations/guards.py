"""Triggers that reject changes to final rows, on SQLite and PostgreSQL.

Migration 0001 creates them, so this module is frozen with it: a change to a trigger belongs in a
new module and a new migration.
"""

from dataclasses import dataclass

GENESIS = "0" * 64


@dataclass(frozen=True)
class Guard:
    """A trigger that rejects one operation on one table.

    It always rejects it, or only when the condition ``when`` is true of the row, or only when the
    query ``found`` returns a row.
    """

    table: str
    operation: str
    reason: str
    when: str = ""
    found: str = ""

    @property
    def name(self) -> str:
        return f"guard_{self.table}_{self.operation.lower()}"


_SIGNED_REVIEW = (
    "SELECT 1 FROM review WHERE review.id = {row}.review_id AND review.signed_at IS NOT NULL"
)
GUARDS = (
    Guard("audit_event", "UPDATE", "audit events are append-only"),
    Guard("audit_event", "DELETE", "audit events are append-only"),
    Guard("audit_head", "DELETE", "the head of the audit log cannot be deleted"),
    Guard(
        "audit_head",
        "UPDATE",
        "the head of the audit log advances by one event at a time",
        "NEW.seq <> OLD.seq + 1",
    ),
    Guard("review", "UPDATE", "a signed review is final", "OLD.signed_at IS NOT NULL"),
    Guard("review", "DELETE", "reviews cannot be deleted"),
    Guard(
        "review_outline",
        "INSERT",
        "a signed review is final",
        found=_SIGNED_REVIEW.format(row="NEW"),
    ),
    Guard("review_outline", "UPDATE", "outlines cannot be updated: delete and insert them"),
    Guard(
        "review_outline",
        "DELETE",
        "a signed review is final",
        found=_SIGNED_REVIEW.format(row="OLD"),
    ),
    Guard("result_object", "UPDATE", "result objects cannot be updated"),
    Guard("result_object", "DELETE", "result objects cannot be deleted"),
)


def create(dialect: str) -> list[str]:
    """Return the statements that create the triggers."""
    if dialect == "sqlite":
        return [_create_sqlite(guard) for guard in GUARDS]
    statements = [text for guard in GUARDS for text in _create_postgresql(guard)]
    # TRUNCATE does not fire row triggers; SQLite has no TRUNCATE. The functions of the UPDATE
    # triggers raise without reading a row.
    statements += [
        f"CREATE TRIGGER guard_{table}_truncate BEFORE TRUNCATE ON {table} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION guard_{table}_update()"
        for table in ("audit_event", "audit_head", "review", "review_outline", "result_object")
    ]
    return statements


def drop(dialect: str) -> list[str]:
    """Return the statements that drop the triggers, for the downgrade of migration 0001."""
    if dialect == "sqlite":
        return [f"DROP TRIGGER {guard.name}" for guard in GUARDS]
    return [f"DROP FUNCTION {guard.name}() CASCADE" for guard in GUARDS]


def _create_sqlite(guard: Guard) -> str:
    condition = f"EXISTS ({guard.found})" if guard.found else guard.when
    when = f"WHEN {condition} " if condition else ""
    return (
        f"CREATE TRIGGER {guard.name} BEFORE {guard.operation} ON {guard.table} "
        f"FOR EACH ROW {when}BEGIN SELECT RAISE(ABORT, '{guard.reason}'); END"
    )


def _create_postgresql(guard: Guard) -> tuple[str, str]:
    body = f"RAISE EXCEPTION '{guard.reason}';"
    if guard.found:  # PostgreSQL does not accept a query in WHEN
        row = "OLD" if guard.operation == "DELETE" else "NEW"
        body = f"IF EXISTS ({guard.found}) THEN {body} END IF; RETURN {row};"
    when = f"WHEN ({guard.when}) " if guard.when else ""
    function = (
        f"CREATE FUNCTION {guard.name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} END $$"
    )
    trigger = (
        f"CREATE TRIGGER {guard.name} BEFORE {guard.operation} ON {guard.table} "
        f"FOR EACH ROW {when}EXECUTE FUNCTION {guard.name}()"
    )
    return function, trigger
