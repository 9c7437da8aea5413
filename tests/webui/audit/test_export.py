import csv
import hashlib
import io
import json

from db import audit
from db.audit_tags import AuditTag
from tests.webui.conftest import Visitor
from tests.webui.seeding import SampleImage, Site, still

CYST = SampleImage([still("cyst", 1)], (0.1, 0.8, 0.1))


def test_an_export_contains_the_filtered_events_and_verifiable_hashes(
    visitor: Visitor, site: Site
) -> None:
    study_id = site.add_study(CYST)
    visitor.sign_in("auditor")
    answer = visitor.post(f"/audit/export?study={study_id}", format="jsonl")
    events = [json.loads(line) for line in answer.text.splitlines()]
    assert [event["tag"] for event in events] == [
        "listener:instance:stored",
        "worker:study:analysed",
    ]
    assert "attachment" in answer.headers["Content-Disposition"]
    for event in events:
        covered = [event[name] for name in list(event)[:-1]]
        text_of = json.dumps(covered, ensure_ascii=False)
        assert hashlib.sha256(text_of.encode()).hexdigest() == event["hash"]


def test_a_csv_export_contains_no_formulas(visitor: Visitor, site: Site) -> None:
    with site.database.write() as session:
        audit.append(session, AuditTag.STUDY_VIEWED, actor="=HYPERLINK(1)", now=site.now)
    visitor.sign_in("auditor")
    answer = visitor.post("/audit/export?tag=web:study:viewed", format="csv")
    head, line = csv.reader(io.StringIO(answer.text))
    assert head[:4] == ["seq", "at", "tag", "actor"]
    assert line[3] == "'=HYPERLINK(1)"
