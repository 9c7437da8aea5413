from sqlalchemy import select

from db.schema import AuditEvent
from tests.webui.conftest import Visitor
from tests.webui.seeding import PASSWORD, Site

NEW_PASSWORD = "another sentence, newly chosen"


def test_signing_in_leads_to_the_requested_page(visitor: Visitor) -> None:
    answer = visitor.get("/audit")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/login?next=/audit")
    visitor.take_token("/login")
    entered = visitor.post("/login?next=/audit", username="auditor", password=PASSWORD)
    assert entered.headers["Location"] == "/audit"


def test_signing_in_never_leads_to_another_site(visitor: Visitor) -> None:
    visitor.take_token("/login")
    for target in ("//evil.example", "https://evil.example", "/\\evil.example"):
        answer = visitor.post(f"/login?next={target}", username="reader", password=PASSWORD)
        assert answer.headers["Location"] == "/worklist"
        visitor.take_token("/account/password")
        visitor.post("/logout")
        visitor.take_token("/login")


def test_a_wrong_password_and_an_unknown_name_give_the_same_error(visitor: Visitor) -> None:
    visitor.take_token("/login")
    wrong = visitor.post("/login", username="reader", password="wrong")
    unknown = visitor.post("/login", username="nobody", password="wrong")
    assert wrong.status_code == unknown.status_code == 401
    errors = [
        answer.text.partition('role="alert">')[2].partition("<")[0] for answer in (wrong, unknown)
    ]
    assert errors[0] == errors[1] != ""


def test_changing_a_password_requires_the_current_one_and_a_valid_new_one(visitor: Visitor) -> None:
    visitor.sign_in("reader")
    cases = {
        "do not match": {"old": PASSWORD, "new": NEW_PASSWORD, "again": "x"},
        "current password is incorrect": {
            "old": "wrong",
            "new": NEW_PASSWORD,
            "again": NEW_PASSWORD,
        },
        "12 to 256": {"old": PASSWORD, "new": "short", "again": "short"},
    }
    for text, form in cases.items():
        answer = visitor.post("/account/password", **form)
        assert answer.status_code == 422
        assert text in answer.text


def test_signing_in_and_out_are_audit_events(visitor: Visitor, site: Site) -> None:
    visitor.sign_in("reader")
    assert visitor.post("/logout").headers["Location"] == "/login"
    assert visitor.get("/worklist").status_code == 303
    with site.database.read() as session:
        events = session.execute(
            select(AuditEvent.tag, AuditEvent.actor).where(AuditEvent.tag.startswith("web:session"))
        ).all()
    assert [tuple(row) for row in events] == [
        ("web:session:started", "user:reader"),
        ("web:session:ended", "user:reader"),
    ]


def test_the_account_page_shows_how_reports_are_signed(visitor: Visitor) -> None:
    visitor.sign_in("reader")
    assert "Reader, Dr, Clinic" in visitor.get("/account").text
