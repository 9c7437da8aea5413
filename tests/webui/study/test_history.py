from datetime import timedelta
from typing import Any

from db.audit_tags import AuditTag
from db.study_history import HistoryEntry
from tests.webui.seeding import NOW
from webui.study.history import to_lines


def _entry(tag: str, minute: int, actor: str = "worker", **details: Any) -> HistoryEntry:
    at = NOW + timedelta(minutes=minute)
    return HistoryEntry(tag, actor, at, at, 1, details)


def test_lines_are_in_words_newest_first() -> None:
    stored, viewed = AuditTag.INSTANCE_STORED, AuditTag.STUDY_VIEWED
    lines = to_lines([_entry(stored, 1, "listener"), _entry(viewed, 2, "user:reader")])
    assert [(line.text, line.actor) for line in lines] == [
        ("Study viewed", "reader"),
        ("Image received", "listener"),
    ]
    assert [line.at for line in lines] == [
        NOW + timedelta(minutes=2),
        NOW + timedelta(minutes=1),
    ]


def test_views_are_marked() -> None:
    lines = to_lines([_entry(AuditTag.REVIEW_SIGNED, 1), _entry(AuditTag.STUDY_VIEWED, 2)])
    assert [line.is_view for line in lines] == [True, False]


def test_a_delivery_names_its_destination() -> None:
    (line,) = to_lines([_entry(AuditTag.DELIVERY_FAILED, 1, destination="pacs")])
    assert line.text == "Delivery failed permanently: pacs"
