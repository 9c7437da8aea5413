from datetime import UTC, datetime
from urllib.parse import parse_qs
from uuid import UUID

import pytest
from werkzeug.exceptions import BadRequest

from webui.audit.query import parse_query

STUDY_ID = "0d9c8f4e-6f0b-4b3a-9f66-0f6f1f0f8a11"


def test_a_query_is_parsed_from_its_own_arguments() -> None:
    arguments = {
        "tag": "web:",
        "actor": "worker",
        "study": STUDY_ID,
        "from": "2026-11-01",
        "to": "2026-11-30",
    }
    query = parse_query({**arguments, "page": "2", "other": "x"})
    assert (query.arguments, query.number) == (arguments, 2)
    assert query.at_page(3) == {**arguments, "page": "3"}
    assert query.wanted.study_id == UUID(STUDY_ID)


def test_the_last_day_is_included() -> None:
    wanted = parse_query({"from": "2026-11-20", "to": "2026-11-20"}).wanted
    assert wanted.since == datetime(2026, 11, 20, tzinfo=UTC)
    assert wanted.until == datetime(2026, 11, 21, tzinfo=UTC)


@pytest.mark.parametrize("query", ["study=x", "from=yesterday", "to=2026-13-01", "page=x"])
def test_a_malformed_filter_is_refused(query: str) -> None:
    with pytest.raises(BadRequest):
        parse_query({name: values[0] for name, values in parse_qs(query).items()})
