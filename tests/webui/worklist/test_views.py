from datetime import timedelta

from sqlalchemy import select

from db.schema import AuditEvent, Study, StudyStatus
from tests.webui.conftest import Clock, Visitor
from tests.webui.seeding import SampleImage, Site, still
from webui.app import create_app
from webui.settings import WebSettings

CYST = SampleImage([still("cyst", 1)], (0.1, 0.8, 0.1))
SPICULATED = SampleImage([still("spiculated", 1)], (0.03, 0.1, 0.87))
DOPPLER = SampleImage([still("normal", 1)], (1, 0, 0), refused="color-doppler")


def test_a_row_shows_patient_study_result_review_and_delivery(visitor: Visitor, site: Site) -> None:
    study_id = site.add_study(SPICULATED, name="Berg^Anna", description="US left")
    site.publish_results(study_id, site.add_destination("pacs"))
    visitor.sign_in("reader")
    page = visitor.get("/worklist").text
    for text in ("Berg, Anna", "PID00001", "58 y F", "2026-11-20", "US left", "ACC00001"):
        assert text in page
    for text in ("Analyzed", "Malignant", "87 %", "Not reviewed", "Delivered 1/1"):
        assert text in page


def test_a_row_shows_delivery_errors(visitor: Visitor, site: Site) -> None:
    study_id = site.add_study(CYST)
    site.publish_results(study_id, site.add_destination("pacs"), "the peer does not answer")
    visitor.sign_in("reader")
    page = visitor.get("/worklist").text
    assert "Retrying 0/1" in page
    assert 'title="pacs: the peer does not answer"' in page


def test_a_refused_study_shows_the_reason(visitor: Visitor, site: Site) -> None:
    site.add_study(DOPPLER)
    visitor.sign_in("reader")
    page = visitor.get("/worklist?status=refused").text
    assert "Not analyzed" in page
    assert "refused: color-doppler" in page


def test_a_search_text_is_in_no_address(visitor: Visitor, site: Site) -> None:
    site.receive_study([CYST], name="Berg^Anna")
    site.receive_study([CYST], name="Okafor^Ngozi")
    visitor.sign_in("reader")
    answer = visitor.post("/worklist/search?status=receiving", text=" okafor ")
    assert answer.status_code == 303
    assert answer.headers["Location"] == "/worklist?status=receiving"
    page = visitor.get("/worklist?status=receiving").text
    assert "Okafor, Ngozi" in page
    assert "Berg, Anna" not in page
    linked = [part.split('"')[0] for part in page.split('href="')[1:]]
    assert not [link for link in linked if "okafor" in link.lower()]


def test_a_search_is_an_audit_event_without_its_text(visitor: Visitor, site: Site) -> None:
    visitor.sign_in("reader")
    visitor.post("/worklist/search", text="berg")
    with site.database.read() as session:
        tag = AuditEvent.tag == "web:worklist:searched"
        found = session.scalars(select(AuditEvent).where(tag)).one()
    assert (found.actor, found.details, found.study_id) == ("user:reader", "{}", None)


def test_clearing_resets_the_text_and_the_filters(visitor: Visitor, site: Site) -> None:
    site.receive_study([CYST], name="Berg^Anna")
    visitor.sign_in("reader")
    visitor.post("/worklist/search", text="unknown")
    assert "No studies match" in visitor.get("/worklist").text
    assert visitor.post("/worklist/search", text="unknown", clear="1").status_code == 303
    assert "Berg, Anna" in visitor.get("/worklist").text


def test_the_worklist_has_pages(visitor: Visitor, site: Site) -> None:
    with site.database.write() as session:
        for number in range(45):
            session.add(_bare(site, number))
    visitor.sign_in("reader")
    last = visitor.get("/worklist?page=3&sort=patient&order=up").text
    assert "41–45 of 45 studies" in last
    assert "P44" in last
    assert "P40" in last
    assert "P39" not in last


def _bare(site: Site, number: int) -> Study:
    return Study(
        study_instance_uid=f"2.25.{number + 1}",
        patient_name=f"P{number:02}",
        source_ae="PROBE",
        status=StudyStatus.RECEIVING,
        received_at=site.now + timedelta(minutes=number),
        last_instance_at=site.now,
    )


def test_rows_are_sent_again_only_after_a_change(visitor: Visitor, site: Site) -> None:
    site.receive_study([CYST], name="Berg^Anna")
    visitor.sign_in("reader")
    asked = _live_address(visitor.get("/worklist?status=receiving").text)
    assert visitor.get(asked).status_code == 204
    site.receive_study([CYST], name="Okafor^Ngozi")
    answer = visitor.get(asked)
    assert answer.status_code == 200
    assert "Okafor, Ngozi" in answer.text
    assert "2 studies in the updated worklist" in answer.text
    assert visitor.get(_live_address(answer.text)).status_code == 204


def _live_address(page: str) -> str:
    address = page.partition('hx-get="/worklist/rows')[2].partition('"')[0]
    return "/worklist/rows" + address.replace("&amp;", "&")


def test_an_auditor_sees_the_list_but_opens_no_study(visitor: Visitor, site: Site) -> None:
    site.receive_study([CYST], name="Berg^Anna")
    visitor.sign_in("auditor")
    page = visitor.get("/worklist").text
    assert "Berg, Anna" in page
    assert "/study/" not in page


def test_html_in_patient_names_is_escaped(visitor: Visitor, site: Site) -> None:
    site.receive_study([CYST], name="<script>alert(1)</script>")
    visitor.sign_in("reader")
    page = visitor.get("/worklist").text
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


def test_sorting_by_suspicion_requires_the_setting(
    visitor: Visitor, site: Site, settings: WebSettings, clock: Clock
) -> None:
    site.add_study(CYST, name="First^A")
    site.add_study(SPICULATED, name="Second^B")
    site.add_study(CYST, name="Third^C")
    visitor.sign_in("reader")
    assert visitor.get("/worklist?sort=suspicion&order=down").status_code == 400
    research = settings.model_copy(update={"suspicion_first": True})
    other = Visitor(create_app(research, site.database, clock).test_client(), clock)
    other.sign_in("reader")
    page = other.get("/worklist").text
    assert "not cleared for triage" in page
    assert page.index("Second, B") < page.index("First, A")


def test_undecided_studies_are_shown_and_filtered(visitor: Visitor, site: Site) -> None:
    unsure = SampleImage([still("cyst", 1)], (0.3, 0.4, 0.3), confidence_threshold=0.6)
    site.add_study(unsure, name="Okafor^Ngozi")
    site.add_study(CYST, name="Berg^Anna")
    visitor.sign_in("reader")
    page = visitor.get("/worklist?label=undecided").text
    assert '<span class="label undecided">Undecided</span>' in page
    assert "40 %" in page
    assert "Berg, Anna" not in page
    benign = visitor.get("/worklist?label=benign").text
    assert "Okafor, Ngozi" not in benign
    assert "Berg, Anna" in benign
