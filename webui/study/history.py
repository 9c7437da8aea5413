"""The history of a study as text."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from db.audit_tags import AuditTag
from db.study_history import HistoryEntry
from webui.labels import event_label


@dataclass(frozen=True)
class HistoryLine:
    """One line of the study history; ``count`` consecutive events share one line."""

    at: datetime
    text: str
    actor: str
    count: int
    is_view: bool
    """A user opened the study. These lines are frequent and shown dimmed."""


def to_lines(entries: Sequence[HistoryEntry]) -> list[HistoryLine]:
    """Return the lines for ``entries``, newest first."""
    return [_to_line(entry) for entry in reversed(entries)]


def _to_line(entry: HistoryEntry) -> HistoryLine:
    text = event_label(entry.tag)
    destination = entry.details.get("destination")
    return HistoryLine(
        entry.last_at,
        f"{text}: {destination}" if destination else text,
        entry.actor.removeprefix("user:"),
        entry.count,
        entry.tag == AuditTag.STUDY_VIEWED,
    )
