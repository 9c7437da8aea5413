from urllib.parse import parse_qs

import pytest
from werkzeug.exceptions import BadRequest

from db.worklist import SortKey, WorklistOrder
from webui.worklist.query import parse_query


@pytest.mark.parametrize(
    "query",
    ["status=odd", "label=cyst", "review=odd", "delivery=odd", "from=x", "sort=odd", "page=-1"],
)
def test_a_malformed_query_is_refused(query: str) -> None:
    arguments = {name: values[0] for name, values in parse_qs(query).items()}
    with pytest.raises(BadRequest):
        parse_query(arguments, "", suspicion_first=False)


def test_a_query_is_parsed_from_its_own_arguments() -> None:
    given = {
        "status": "analyzed",
        "label": "benign",
        "review": "draft",
        "delivery": "failed",
        "from": "2026-01-02",
        "to": "2026-03-04",
        "sort": "patient",
        "order": "up",
        "page": "3",
    }
    query = parse_query(given, "text", suspicion_first=False)
    assert query.arguments == given
    assert query.wanted.date_from == "20260102"
    assert parse_query({"status": "", "page": "1"}, "", suspicion_first=False).arguments == {}


def test_a_second_click_on_a_header_reverses_the_order() -> None:
    query = parse_query({}, "", suspicion_first=False)
    assert query.order == WorklistOrder(SortKey.RECEIVED, descending=True)
    once = parse_query(query.sorted_by("patient"), "", suspicion_first=False)
    twice = parse_query(once.sorted_by("patient"), "", suspicion_first=False)
    assert [once.order.descending, twice.order.descending] == [False, True]
