from datetime import timedelta
from urllib.parse import parse_qs

import pytest
from sqlalchemy import select
from werkzeug.exceptions import BadRequest

from db.schema import AuditEvent, Study, StudyStatus
from db.worklist import SortKey, WorklistOrder
from tests.webui.conftest import Clock, Visitor
from tests.webui.seeding import Hospital, Picture, still
from webui.app import create_app
from webui.settings import WebSettings
from webui.worklist.query import parse_query

CYST = Picture([still("cyst", 1)], (0.1, 0.8, 0.1))
SPICULATED = Picture([still("spiculated", 1)], (0.03, 0.1, 0.87))
DOPPLER = Picture([still("normal", 1)], (1, 0, 0), refused="color-doppler")


def test_a_line_tells_what_a_reader_asks_first(visitor: Visitor, hospital: Hospital) -> None:
    study_id = hospital.study(SPICULATED, name="Berg^Anna", description="US left")
    hospital.publish(study_id, hospital.destination("pacs"))
    visitor.sign_in("reader")
    page = visitor.get("/worklist").text
    for text in ("Berg, Anna", "PID00001", "58 y F", "2026-11-20", "US left", "ACC00001"):
        assert text in page
    for text in ("Analyzed", "Malignant", "87 %", "Not reviewed", "Delivered 1/1"):
        assert text in page


def test_trouble_on_the_way_to_the_pacs_stands_in_the_line(
    visitor: Visitor, hospital: Hospital
) -> None:
    study_id = hospital.study(CYST)
    hospital.publish(study_id, hospital.destination("pacs"), "the peer does not answer")
    visitor.sign_in("reader")
    page = visitor.get("/worklist").text
    assert "Retrying 0/1" in page
    assert 'title="pacs: the peer does not answer"' in page


def test_a_refused_study_says_why(visitor: Visitor, hospital: Hospital) -> None:
    hospital.study(DOPPLER)
    visitor.sign_in("reader")
    page = visitor.get("/worklist?status=refused").text
    assert "Not analyzed" in page
    assert "refused: color-doppler" in page


def test_a_search_is_kept_out_of_every_address(visitor: Visitor, hospital: Hospital) -> None:
    hospital.receive([CYST], name="Berg^Anna")
    hospital.receive([CYST], name="Okafor^Ngozi")
    visitor.sign_in("reader")
    answer = visitor.post("/worklist/search?status=receiving", text=" okafor ")
    assert answer.status_code == 303
    assert answer.headers["Location"] == "/worklist?status=receiving"
    page = visitor.get("/worklist?status=receiving").text
    assert "Okafor, Ngozi" in page
    assert "Berg, Anna" not in page
    linked = [part.split('"')[0] for part in page.split('href="')[1:]]
    assert not [link for link in linked if "okafor" in link.lower()]


def test_a_search_is_an_event_without_its_text(visitor: Visitor, hospital: Hospital) -> None:
    visitor.sign_in("reader")
    visitor.post("/worklist/search", text="berg")
    with hospital.database.read() as session:
        tag = AuditEvent.tag == "web:worklist:searched"
        found = session.scalars(select(AuditEvent).where(tag)).one()
    assert (found.actor, found.details, found.study_id) == ("user:reader", "{}", None)


def test_clearing_takes_away_the_text_and_the_filters(visitor: Visitor, hospital: Hospital) -> None:
    hospital.receive([CYST], name="Berg^Anna")
    visitor.sign_in("reader")
    visitor.post("/worklist/search", text="nobody")
    assert "No studies match" in visitor.get("/worklist").text
    assert visitor.post("/worklist/search", text="nobody", clear="1").status_code == 303
    assert "Berg, Anna" in visitor.get("/worklist").text


def test_the_list_is_cut_into_pages(visitor: Visitor, hospital: Hospital) -> None:
    with hospital.database.write() as session:
        for number in range(45):
            session.add(_bare(hospital, number))
    visitor.sign_in("reader")
    last = visitor.get("/worklist?page=3&sort=patient&order=up").text
    assert "41–45 of 45 studies" in last
    assert "P44" in last
    assert "P40" in last
    assert "P39" not in last


def _bare(hospital: Hospital, number: int) -> Study:
    return Study(
        study_instance_uid=f"2.25.{number + 1}",
        patient_name=f"P{number:02}",
        source_ae="PROBE",
        status=StudyStatus.RECEIVING,
        received_at=hospital.now + timedelta(minutes=number),
        last_instance_at=hospital.now,
    )


def test_rows_come_again_only_when_something_changed(visitor: Visitor, hospital: Hospital) -> None:
    hospital.receive([CYST], name="Berg^Anna")
    visitor.sign_in("reader")
    asked = _live_address(visitor.get("/worklist?status=receiving").text)
    assert visitor.get(asked).status_code == 204
    hospital.receive([CYST], name="Okafor^Ngozi")
    answer = visitor.get(asked)
    assert answer.status_code == 200
    assert "Okafor, Ngozi" in answer.text
    assert "2 studies in the updated worklist" in answer.text
    assert visitor.get(_live_address(answer.text)).status_code == 204


def _live_address(page: str) -> str:
    address = page.partition('hx-get="/worklist/rows')[2].partition('"')[0]
    return "/worklist/rows" + address.replace("&amp;", "&")


def test_an_auditor_reads_the_list_and_opens_nothing(visitor: Visitor, hospital: Hospital) -> None:
    hospital.receive([CYST], name="Berg^Anna")
    visitor.sign_in("auditor")
    page = visitor.get("/worklist").text
    assert "Berg, Anna" in page
    assert "/study/" not in page


def test_names_from_the_network_stay_text(visitor: Visitor, hospital: Hospital) -> None:
    hospital.receive([CYST], name="<script>alert(1)</script>")
    visitor.sign_in("reader")
    page = visitor.get("/worklist").text
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


def test_the_list_is_no_triage_device_unless_the_site_asks(
    visitor: Visitor, hospital: Hospital, settings: WebSettings, clock: Clock
) -> None:
    hospital.study(CYST, name="First^A")
    hospital.study(SPICULATED, name="Second^B")
    hospital.study(CYST, name="Third^C")
    visitor.sign_in("reader")
    assert visitor.get("/worklist?sort=suspicion&order=down").status_code == 400
    research = settings.model_copy(update={"suspicion_first": True})
    other = Visitor(create_app(research, hospital.database, clock).test_client(), clock)
    other.sign_in("reader")
    page = other.get("/worklist").text
    assert "not cleared for triage" in page
    assert page.index("Second, B") < page.index("First, A")


@pytest.mark.parametrize(
    "query",
    ["status=odd", "label=cyst", "review=odd", "delivery=odd", "from=x", "sort=odd", "page=-1"],
)
def test_an_address_that_no_page_sends_is_refused(query: str) -> None:
    arguments = {name: values[0] for name, values in parse_qs(query).items()}
    with pytest.raises(BadRequest):
        parse_query(arguments, "", suspicion_first=False)


def test_a_query_reads_back_from_its_own_address() -> None:
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


def test_a_second_click_on_a_head_turns_the_order_round() -> None:
    query = parse_query({}, "", suspicion_first=False)
    assert query.order == WorklistOrder(SortKey.RECEIVED, descending=True)
    once = parse_query(query.sorted_by("patient"), "", suspicion_first=False)
    twice = parse_query(once.sorted_by("patient"), "", suspicion_first=False)
    assert [once.order.descending, twice.order.descending] == [False, True]


def test_an_undecided_study_says_so_and_can_be_asked_for(
    visitor: Visitor, hospital: Hospital
) -> None:
    unsure = Picture([still("cyst", 1)], (0.3, 0.4, 0.3), confidence_threshold=0.6)
    hospital.study(unsure, name="Okafor^Ngozi")
    hospital.study(CYST, name="Berg^Anna")
    visitor.sign_in("reader")
    page = visitor.get("/worklist?label=undecided").text
    assert '<span class="label undecided">Undecided</span>' in page
    assert "40 %" in page
    assert "Berg, Anna" not in page
    benign = visitor.get("/worklist?label=benign").text
    assert "Okafor, Ngozi" not in benign
    assert "Berg, Anna" in benign
