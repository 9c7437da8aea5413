"""The audit log as files, with every column, so that other programs can verify the hash chain."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from datetime import UTC

from db.schema import AuditEvent

COLUMNS = ("seq", "at", "tag", "actor", "study_id", "details", "previous_hash", "hash")
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def to_json_lines(events: Iterable[AuditEvent]) -> Iterator[str]:
    """Yield one object per line. ``details`` stays the text that the hash covers."""
    for event in events:
        yield json.dumps(_values(event), ensure_ascii=False) + "\n"


def to_csv_lines(events: Iterable[AuditEvent]) -> Iterator[str]:
    """Yield CSV lines. A cell that a spreadsheet would run as a formula gets a leading apostrophe."""
    yield _csv_line(COLUMNS)
    for event in events:
        cells = [str(value) for value in _values(event).values()]
        yield _csv_line(
            [f"'{cell}" if cell.startswith(_FORMULA_STARTS) else cell for cell in cells]
        )


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


def _csv_line(cells: Iterable[str]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer).writerow(cells)
    return buffer.getvalue()
