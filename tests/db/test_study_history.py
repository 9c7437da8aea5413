from datetime import timedelta
from uuid import uuid4

from db import audit
from db.audit_tags import AuditTag
from db.engine import Database
from db.study_history import load_study_history
from tests.db.rows import NOW


def test_entries_are_in_order_and_consecutive_images_are_one_entry(database: Database) -> None:
    study, other = uuid4(), uuid4()
    tags = [AuditTag.INSTANCE_STORED] * 3 + [AuditTag.STUDY_ANALYZED]
    tags += [AuditTag.DELIVERY_DELIVERED] * 2 + [AuditTag.STUDY_VIEWED] * 2
    with database.write() as session:
        for number, tag in enumerate(tags):
            now = NOW + timedelta(seconds=number)
            audit.append(session, tag, actor="x", now=now, study_id=study, n=number)
            audit.append(session, tag, actor="x", now=now, study_id=other)
    with database.read() as session:
        entries = load_study_history(session, study)
    assert [(entry.tag.split(":")[-1], entry.count) for entry in entries] == [
        ("stored", 3),
        ("analysed", 1),
        ("delivered", 1),
        ("delivered", 1),
        ("viewed", 2),
    ]
    assert (entries[0].first_at, entries[0].last_at) == (NOW, NOW + timedelta(seconds=2))
    assert entries[0].details == {"n": 2}


def test_views_by_two_users_are_two_entries(database: Database) -> None:
    study = uuid4()
    with database.write() as session:
        for actor in ("user:a", "user:b"):
            audit.append(session, AuditTag.STUDY_VIEWED, actor=actor, now=NOW, study_id=study)
    with database.read() as session:
        assert [entry.actor for entry in load_study_history(session, study)] == [
            "user:a",
            "user:b",
        ]
