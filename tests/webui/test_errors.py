import logging
from uuid import uuid4

import pytest
from flask import Flask
from sqlalchemy import text

from tests.webui.conftest import Visitor
from tests.webui.seeding import PASSWORD, Hospital
from webui import access, context


def _add_failing_view(app: Flask) -> None:
    @access.public
    def fail() -> str:
        raise RuntimeError("Berg^Anna was here")

    app.add_url_rule("/fail", view_func=fail)


def test_a_failure_shows_and_logs_an_incident_and_nothing_of_a_patient(
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


def test_a_failed_statement_never_takes_its_values_into_the_log(
    app: Flask, visitor: Visitor, hospital: Hospital, caplog: pytest.LogCaptureFixture
) -> None:
    visitor.sign_in("reader")
    visitor.post("/worklist/search", text="okafor")
    with hospital.database.write() as session:
        session.execute(text("ALTER TABLE analysis RENAME COLUMN label TO lost_label"))
    with caplog.at_level(logging.ERROR):
        answer = visitor.get("/worklist")
    assert answer.status_code == 503
    assert "No changes were saved" in answer.text
    assert "okafor" not in caplog.text


def test_pages_that_are_not_there_say_so_kindly(visitor: Visitor) -> None:
    visitor.sign_in("reader")
    for path in ("/nowhere", f"/study/{uuid4()}", "/study/not-an-id"):
        answer = visitor.get(path)
        assert answer.status_code == 404
        assert "This page does not exist." in answer.text


def test_a_stale_form_is_told_what_to_do(visitor: Visitor) -> None:
    visitor.take_token("/login")
    visitor.token = "stale"
    answer = visitor.post("/login", username="reader", password=PASSWORD)
    assert answer.status_code == 400
    assert "form has expired" in answer.text


def test_a_script_gets_the_bare_text(app: Flask, visitor: Visitor) -> None:
    visitor.sign_in("reader")
    answer = visitor.get("/audit", headers={"HX-Request": "true"})
    assert (answer.status_code, answer.text) == (
        403,
        "Your role does not have access to this page.",
    )


def test_a_form_may_not_be_huge(visitor: Visitor) -> None:
    visitor.take_token("/login")
    assert visitor.post("/login", username="x" * 2_000_000).status_code == 413


def test_a_reader_session_ends_with_its_request(app: Flask) -> None:
    with app.test_request_context():
        session = context.reader()
        assert context.reader() is session
        with context.writer():
            pass
        assert context.reader() is not session
