from db import users
from tests.webui.conftest import Clock, Visitor
from tests.webui.seeding import PASSWORD, Site
from webui.settings import WebSettings

NEW_PASSWORD = "another sentence, newly chosen"


def test_signing_in_starts_a_new_session(visitor: Visitor) -> None:
    visitor.take_token("/login")
    with visitor.client.session_transaction() as session:
        session["search"] = "planted"
    before = visitor.token
    visitor.sign_in("reader")
    with visitor.client.session_transaction() as session:
        assert "search" not in session
    assert visitor.token != before


def test_changing_the_password_ends_every_other_session(
    visitor: Visitor, other_visitor: Visitor
) -> None:
    visitor.sign_in("reader")
    other_visitor.sign_in("reader")
    visitor.post("/account/password", old=PASSWORD, new=NEW_PASSWORD, again=NEW_PASSWORD)
    assert visitor.get("/worklist").status_code == 200
    assert other_visitor.get("/worklist").status_code == 303


def test_deactivating_an_account_ends_its_session(visitor: Visitor, site: Site) -> None:
    visitor.sign_in("reader")
    with site.database.write() as session:
        user = users.get_user(session, "reader")
        users.set_active(session, user, False, actor="test", now=site.now)
    assert visitor.get("/worklist").status_code == 303


def test_a_session_ends_without_user_activity(
    visitor: Visitor, clock: Clock, settings: WebSettings
) -> None:
    visitor.sign_in("reader")
    clock.advance(minutes=settings.session_idle_minutes - 1)
    assert visitor.get("/worklist").status_code == 200
    clock.advance(minutes=settings.session_idle_minutes - 1)
    assert visitor.get("/worklist").status_code == 200
    clock.advance(minutes=settings.session_idle_minutes + 1)
    assert visitor.get("/worklist").status_code == 303


def test_background_requests_do_not_extend_a_session(
    visitor: Visitor, clock: Clock, settings: WebSettings
) -> None:
    visitor.sign_in("reader")
    for _ in range(settings.session_idle_minutes + 1):
        clock.advance(minutes=1)
        answer = visitor.get("/worklist/rows", headers={"HX-Request": "true"})
    assert (answer.status_code, answer.headers["HX-Redirect"]) == (401, "/login")


def test_background_requests_with_user_activity_extend_a_session(
    visitor: Visitor, clock: Clock, settings: WebSettings
) -> None:
    visitor.sign_in("reader")
    for _ in range(settings.session_idle_minutes + 1):
        clock.advance(minutes=1)
        answer = visitor.get("/worklist/rows", headers={"HX-Request": "true", "X-Active": "1"})
    assert answer.status_code == 200


def test_a_session_ends_after_its_lifetime_in_any_case(
    visitor: Visitor, clock: Clock, settings: WebSettings
) -> None:
    visitor.sign_in("reader")
    for _ in range(3 * settings.session_lifetime_hours + 1):
        clock.advance(minutes=20)
        answer = visitor.get("/worklist")
    assert answer.status_code == 303
