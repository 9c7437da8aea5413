from sqlalchemy import select

from db import users
from db.schema import AuditEvent
from tests.webui.conftest import Clock, Visitor
from tests.webui.seeding import PASSWORD, Hospital
from webui.settings import WebSettings

CHOSEN = "another sentence, chosen by her"


def _one_time(hospital: Hospital, username: str) -> str:
    with hospital.database.write() as session:
        user = users.get_user(session, username)
        return users.reset_password(session, user, actor="test", now=hospital.now)


def test_a_stranger_is_led_to_the_login_page_and_back(visitor: Visitor) -> None:
    answer = visitor.get("/audit")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/login?next=/audit")
    visitor.take_token("/login")
    entered = visitor.post("/login?next=/audit", username="auditor", password=PASSWORD)
    assert entered.headers["Location"] == "/audit"


def test_nobody_is_led_to_another_site(visitor: Visitor) -> None:
    visitor.take_token("/login")
    for target in ("//evil.example", "https://evil.example", "/\\evil.example"):
        answer = visitor.post(f"/login?next={target}", username="reader", password=PASSWORD)
        assert answer.headers["Location"] == "/worklist"
        visitor.take_token("/account/password")
        visitor.post("/logout")
        visitor.take_token("/login")


def test_a_wrong_password_and_an_unknown_name_read_the_same(visitor: Visitor) -> None:
    visitor.take_token("/login")
    wrong = visitor.post("/login", username="reader", password="wrong")
    unknown = visitor.post("/login", username="nobody", password="wrong")
    assert wrong.status_code == unknown.status_code == 401
    said = [
        answer.text.partition('role="alert">')[2].partition("<")[0] for answer in (wrong, unknown)
    ]
    assert said[0] == said[1] != ""


def test_the_cookie_is_for_this_site_and_no_script(visitor: Visitor) -> None:
    cookie = visitor.sign_in("reader").headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Expires" not in cookie  # it ends with the browser


def test_nothing_of_a_session_survives_signing_in(visitor: Visitor) -> None:
    visitor.take_token("/login")
    with visitor.client.session_transaction() as session:
        session["search"] = "planted"
    before = visitor.token
    visitor.sign_in("reader")
    with visitor.client.session_transaction() as session:
        assert "search" not in session
    assert visitor.token != before


def test_a_one_time_password_opens_only_the_page_that_changes_it(
    visitor: Visitor, hospital: Hospital
) -> None:
    password = _one_time(hospital, "reader")
    visitor.sign_in("reader", password)
    for path in ("/worklist", "/account", "/worklist/rows"):
        assert visitor.get(path).headers["Location"] == "/account/password"
    answer = visitor.post("/account/password", old=password, new=CHOSEN, again=CHOSEN)
    assert answer.headers["Location"] == "/worklist"
    assert visitor.get("/worklist").status_code == 200


def test_a_password_is_changed_only_by_who_knows_it(visitor: Visitor) -> None:
    visitor.sign_in("reader")
    cases = {
        "do not match": {"old": PASSWORD, "new": CHOSEN, "again": "x"},
        "current password is incorrect": {"old": "wrong", "new": CHOSEN, "again": CHOSEN},
        "12 to 256": {"old": PASSWORD, "new": "short", "again": "short"},
    }
    for text, form in cases.items():
        answer = visitor.post("/account/password", **form)
        assert answer.status_code == 422
        assert text in answer.text


def test_changing_the_password_ends_every_other_session(
    visitor: Visitor, other_visitor: Visitor
) -> None:
    visitor.sign_in("reader")
    other_visitor.sign_in("reader")
    visitor.post("/account/password", old=PASSWORD, new=CHOSEN, again=CHOSEN)
    assert visitor.get("/worklist").status_code == 200
    assert other_visitor.get("/worklist").status_code == 303


def test_switching_an_account_off_ends_its_session(visitor: Visitor, hospital: Hospital) -> None:
    visitor.sign_in("reader")
    with hospital.database.write() as session:
        user = users.get_user(session, "reader")
        users.set_active(session, user, False, actor="test", now=hospital.now)
    assert visitor.get("/worklist").status_code == 303


def test_a_session_ends_when_nobody_is_there(
    visitor: Visitor, clock: Clock, settings: WebSettings
) -> None:
    visitor.sign_in("reader")
    clock.pass_by(minutes=settings.session_idle_minutes - 1)
    assert visitor.get("/worklist").status_code == 200
    clock.pass_by(minutes=settings.session_idle_minutes - 1)
    assert visitor.get("/worklist").status_code == 200
    clock.pass_by(minutes=settings.session_idle_minutes + 1)
    assert visitor.get("/worklist").status_code == 303


def test_a_page_that_refreshes_itself_keeps_no_session_alive(
    visitor: Visitor, clock: Clock, settings: WebSettings
) -> None:
    visitor.sign_in("reader")
    for _ in range(settings.session_idle_minutes + 1):
        clock.pass_by(minutes=1)
        answer = visitor.get("/worklist/rows", headers={"HX-Request": "true"})
    assert (answer.status_code, answer.headers["HX-Redirect"]) == (401, "/login")


def test_a_refresh_from_a_page_that_somebody_touched_does(
    visitor: Visitor, clock: Clock, settings: WebSettings
) -> None:
    visitor.sign_in("reader")
    for _ in range(settings.session_idle_minutes + 1):
        clock.pass_by(minutes=1)
        answer = visitor.get("/worklist/rows", headers={"HX-Request": "true", "X-Active": "1"})
    assert answer.status_code == 200


def test_a_session_ends_at_the_end_of_a_day_in_any_case(
    visitor: Visitor, clock: Clock, settings: WebSettings
) -> None:
    visitor.sign_in("reader")
    for _ in range(3 * settings.session_lifetime_hours + 1):
        clock.pass_by(minutes=20)
        answer = visitor.get("/worklist")
    assert answer.status_code == 303


def test_coming_and_going_are_events(visitor: Visitor, hospital: Hospital) -> None:
    visitor.sign_in("reader")
    assert visitor.post("/logout").headers["Location"] == "/login"
    assert visitor.get("/worklist").status_code == 303
    with hospital.database.read() as session:
        events = session.execute(
            select(AuditEvent.tag, AuditEvent.actor).where(AuditEvent.tag.startswith("web:session"))
        ).all()
    assert [tuple(row) for row in events] == [
        ("web:session:started", "user:reader"),
        ("web:session:ended", "user:reader"),
    ]


def test_the_account_page_tells_a_reader_how_reports_are_signed(visitor: Visitor) -> None:
    visitor.sign_in("reader")
    assert "Reader, Dr, Clinic" in visitor.get("/account").text
