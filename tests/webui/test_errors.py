import logging
from uuid import uuid4

import pytest
from flask import Flask
from sqlalchemy import text

from tests.webui.conftest import Visitor
from tests.webui.seeding import PASSWORD, Site
from webui import access


def _add_failing_view(app: Flask) -> None:
    @access.public
    def fail() -> str:
        raise RuntimeError("Berg^Anna was here")

    app.add_url_rule("/fail", view_func=fail)


def test_an_internal_error_shows_and_logs_an_incident_without_patient_data(
    app: Flask, visitor: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    _add_failing_view(app)
    with caplog.at_level(logging.ERROR):
        answer = visitor.get("/fail")
    assert answer.status_code == 500
    incident = answer.text.partition("incident ")[2][:8]
    assert incident in caplog.text
    assert "RuntimeError" in caplog.text
    for place in (answer.text, caplog.text):
        assert "Berg" not in place
    assert "Traceback" not in answer.text


def test_a_failed_statement_is_logged_without_its_values(
    app: Flask, visitor: Visitor, site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    visitor.sign_in("reader")
    visitor.post("/worklist/search", text="okafor")
    with site.database.write() as session:
        session.execute(text("ALTER TABLE analysis RENAME COLUMN label TO lost_label"))
    with caplog.at_level(logging.ERROR):
        answer = visitor.get("/worklist")
    assert answer.status_code == 503
    assert "No changes were saved" in answer.text
    assert "okafor" not in caplog.text


def test_an_unknown_page_is_not_found(visitor: Visitor) -> None:
    visitor.sign_in("reader")
    for path in ("/nowhere", f"/study/{uuid4()}", "/study/not-an-id"):
        answer = visitor.get(path)
        assert answer.status_code == 404
        assert "This page does not exist." in answer.text


def test_an_expired_form_says_what_to_do(visitor: Visitor) -> None:
    visitor.take_token("/login")
    visitor.token = "stale"
    answer = visitor.post("/login", username="reader", password=PASSWORD)
    assert answer.status_code == 400
    assert "form has expired" in answer.text


def test_htmx_gets_plain_text(app: Flask, visitor: Visitor) -> None:
    visitor.sign_in("reader")
    answer = visitor.get("/audit", headers={"HX-Request": "true"})
    assert (answer.status_code, answer.text) == (
        403,
        "Your role does not have access to this page.",
    )
