"""The audit chain as files. Every column is there, so that the hashes can be checked elsewhere."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from datetime import UTC

from db.schema import AuditEvent

COLUMNS = ("seq", "at", "tag", "actor", "study_id", "details", "previous_hash", "hash")
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def jsonl(events: Iterable[AuditEvent]) -> Iterator[str]:
    """One object a line. ``details`` stays the text that the hash covers."""
    for event in events:
        yield json.dumps(_values(event), ensure_ascii=False) + "\n"


def csv_lines(events: Iterable[AuditEvent]) -> Iterator[str]:
    """For spreadsheets; a cell that one would run as a formula gets an apostrophe in front."""
    yield _line(COLUMNS)
    for event in events:
        yield _line([_harmless(str(value)) for value in _values(event).values()])


def _values(event: AuditEvent) -> dict[str, object]:
    return {
        "seq": event.seq,
        "at": event.at.astimezone(UTC).isoformat(timespec="microseconds"),
        "tag": event.tag,
        "actor": event.actor,
        "study_id": str(event.study_id or ""),
        "details": event.details,
        "previous_hash": event.previous_hash,
        "hash": event.hash,
    }


def _harmless(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA_STARTS) else cell


def _line(cells: Iterable[str]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer).writerow(cells)
    return buffer.getvalue()
