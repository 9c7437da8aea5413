from datetime import timedelta
from uuid import uuid4

from db import audit
from db.audit_tags import AuditTag
from db.engine import Database
from db.timeline import study_history
from tests.db.readings import NOW


def test_the_story_is_told_in_order_and_images_in_a_row_are_one_moment(
    database: Database,
) -> None:
    study, other = uuid4(), uuid4()
    tags = [AuditTag.INSTANCE_STORED] * 3 + [AuditTag.STUDY_ANALYZED]
    tags += [AuditTag.DELIVERY_DELIVERED] * 2 + [AuditTag.STUDY_VIEWED] * 2
    with database.write() as session:
        for number, tag in enumerate(tags):
            now = NOW + timedelta(seconds=number)
            audit.append(session, tag, actor="x", now=now, study_id=study, n=number)
            audit.append(session, tag, actor="x", now=now, study_id=other)
    with database.read() as session:
        story = study_history(session, study)
    assert [(moment.tag.split(":")[-1], moment.count) for moment in story] == [
        ("stored", 3),
        ("analysed", 1),
        ("delivered", 1),
        ("delivered", 1),
        ("viewed", 2),
    ]
    assert (story[0].first_at, story[0].last_at) == (NOW, NOW + timedelta(seconds=2))
    assert story[0].details == {"n": 2}


def test_looks_of_two_people_are_two_moments(database: Database) -> None:
    study = uuid4()
    with database.write() as session:
        for actor in ("user:a", "user:b"):
            audit.append(session, AuditTag.STUDY_VIEWED, actor=actor, now=NOW, study_id=study)
    with database.read() as session:
        assert [moment.actor for moment in study_history(session, study)] == ["user:a", "user:b"]
