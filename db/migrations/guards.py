"""Triggers that keep what must never change, on SQLite and PostgreSQL.

They belong to the first migration. A later change to them is a new module and a new migration.
"""

from dataclasses import dataclass

GENESIS = "0" * 64


@dataclass(frozen=True)
class Guard:
    """Refuses one kind of change to one table: always, when ``when`` holds of the row, or when the
    query ``found`` finds something.
    """

    table: str
    operation: str
    reason: str
    when: str = ""
    found: str = ""

    @property
    def name(self) -> str:
        return f"guard_{self.table}_{self.operation.lower()}"


_OF_A_SIGNED_REVIEW = (
    "SELECT 1 FROM review WHERE review.id = {row}.review_id AND review.signed_at IS NOT NULL"
)
GUARDS = (
    Guard("audit_event", "UPDATE", "audit events are append-only"),
    Guard("audit_event", "DELETE", "audit events are append-only"),
    Guard("audit_head", "DELETE", "the head of the audit chain is never removed"),
    Guard(
        "audit_head",
        "UPDATE",
        "the head of the audit chain only moves on by one",
        "NEW.seq <> OLD.seq + 1",
    ),
    Guard("review", "UPDATE", "a signed review is final", "OLD.signed_at IS NOT NULL"),
    Guard("review", "DELETE", "reviews are never deleted"),
    Guard(
        "review_outline",
        "INSERT",
        "a signed review is final",
        found=_OF_A_SIGNED_REVIEW.format(row="NEW"),
    ),
    Guard("review_outline", "UPDATE", "an outline is drawn anew, never edited"),
    Guard(
        "review_outline",
        "DELETE",
        "a signed review is final",
        found=_OF_A_SIGNED_REVIEW.format(row="OLD"),
    ),
    Guard("result_object", "UPDATE", "a result object is never edited"),
    Guard("result_object", "DELETE", "a result object is never deleted"),
)


def create(dialect: str) -> list[str]:
    """Statements that set the guards up."""
    if dialect == "sqlite":
        return [_sqlite(guard) for guard in GUARDS]
    statements = [text for guard in GUARDS for text in _postgresql(guard)]
    return [*statements, *_no_truncate()]


def drop(dialect: str) -> list[str]:
    """Statements that take the guards away; only for going back below the first migration."""
    if dialect == "sqlite":
        return [f"DROP TRIGGER {guard.name}" for guard in GUARDS]
    return [f"DROP FUNCTION {guard.name}() CASCADE" for guard in GUARDS]


def _sqlite(guard: Guard) -> str:
    condition = f"EXISTS ({guard.found})" if guard.found else guard.when
    when = f"WHEN {condition} " if condition else ""
    return (
        f"CREATE TRIGGER {guard.name} BEFORE {guard.operation} ON {guard.table} "
        f"FOR EACH ROW {when}BEGIN SELECT RAISE(ABORT, '{guard.reason}'); END"
    )


def _postgresql(guard: Guard) -> tuple[str, str]:
    when = f"WHEN ({guard.when}) " if guard.when else ""
    function = (
        f"CREATE FUNCTION {guard.name}() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN {_refusal(guard)} END $$"
    )
    trigger = (
        f"CREATE TRIGGER {guard.name} BEFORE {guard.operation} ON {guard.table} "
        f"FOR EACH ROW {when}EXECUTE FUNCTION {guard.name}()"
    )
    return function, trigger


def _refusal(guard: Guard) -> str:
    refusal = f"RAISE EXCEPTION '{guard.reason}';"
    if not guard.found:
        return refusal
    # PostgreSQL takes no query in WHEN.
    row = "OLD" if guard.operation == "DELETE" else "NEW"
    return f"IF EXISTS ({guard.found}) THEN {refusal} END IF; RETURN {row};"


def _no_truncate() -> list[str]:
    # TRUNCATE passes by row triggers; SQLite has no TRUNCATE. The functions for UPDATE are those
    # that refuse without a look at a row.
    return [
        f"CREATE TRIGGER guard_{table}_truncate BEFORE TRUNCATE ON {table} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION guard_{table}_update()"
        for table in ("audit_event", "audit_head", "review", "review_outline", "result_object")
    ]
