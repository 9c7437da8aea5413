"""Every address of the application, and who may use it. A new one must be added here."""

import pytest
from flask import Flask
from sqlalchemy import select
from werkzeug.test import TestResponse

from db import users
from db.schema import Analysis, Decision, Instance, Job, Review
from tests.webui.conftest import Clock, Visitor
from tests.webui.seeding import SampleImage, Site, still
from webui import access
from webui.security import HEADERS

NEW_PASSWORD = "another sentence, newly chosen"
ANONYMOUS, ADMIN, READER, AUDITOR = "", "admin", "reader", "auditor"
EVERYONE = {ANONYMOUS, ADMIN, READER, AUDITOR}
STAFF = {ADMIN, READER, AUDITOR}
CLINICAL = {ADMIN, READER}
CONTROL = {ADMIN, AUDITOR}
MAY = {
    "static": EVERYONE,
    "worklist.static": EVERYONE,
    "study.static": EVERYONE,
    "health.live": EVERYONE,
    "health.ready": EVERYONE,
    "auth.login": EVERYONE,
    "auth.sign_in": EVERYONE,
    "auth.sign_out": STAFF,
    "auth.account": STAFF,
    "auth.change_password": STAFF,
    "auth.update_password": STAFF,
    "worklist.home": STAFF,
    "worklist.index": STAFF,
    "worklist.rows": STAFF,
    "worklist.search": STAFF,
    "study.index": CLINICAL,
    "study.updates": CLINICAL,
    "study.frame": CLINICAL,
    "study.thumbnail": CLINICAL,
    "study.heatmap": CLINICAL,
    "study.lesions": {READER},
    "study.save_review": {READER},
    "study.confirm": {READER},
    "study.sign": {READER},
    "study.amend": {READER},
    "audit.index": CONTROL,
    "audit.verify": CONTROL,
    "audit.download": CONTROL,
    "audit.shadow": CONTROL,
    "admin.dead_letters": {ADMIN},
    "admin.retry_all": {ADMIN},
    "admin.retry": {ADMIN},
    "admin.senders": {ADMIN},
    "admin.destinations": {ADMIN},
    "admin.list_users": {ADMIN},
    "admin.add_user": {ADMIN},
    "admin.update_user": {ADMIN},
    "admin.reset_password": {ADMIN},
    "admin.set_active": {ADMIN},
}
FILES = {
    "static": "base.css",
    "worklist.static": "worklist.css",
    "study.static": "page.js",
}


def _one_time(site: Site, username: str) -> str:
    with site.database.write() as session:
        user = users.get_user(session, username)
        return users.reset_password(session, user, actor="test", now=site.now)


def test_a_one_time_password_opens_only_the_page_that_changes_it(
    visitor: Visitor, site: Site
) -> None:
    password = _one_time(site, "reader")
    visitor.sign_in("reader", password)
    for path in ("/worklist", "/account", "/worklist/rows"):
        assert visitor.get(path).headers["Location"] == "/account/password"
    answer = visitor.post("/account/password", old=password, new=NEW_PASSWORD, again=NEW_PASSWORD)
    assert answer.headers["Location"] == "/worklist"
    assert visitor.get("/worklist").status_code == 200


@pytest.fixture
def arguments(site: Site) -> dict[str, object]:
    """Values for every variable part of an address, of things that exist."""
    study_id = site.add_study(SampleImage([still("cyst", 1)], (0.1, 0.8, 0.1)))
    with site.database.write() as session:
        analysis = session.scalars(select(Analysis)).one()
        review = Review(
            analysis_id=analysis.id,
            reader_id=site.users[READER].id,
            decision=Decision.ACCEPT,
            final_label="benign",
            created_at=site.now,
        )
        session.add(review)
        session.flush()
        return {
            "study_id": study_id,
            "analysis_id": analysis.id,
            "instance_id": session.scalars(select(Instance.id)).one(),
            "review_id": review.id,
            "job_id": session.scalars(select(Job.id)).first(),
            "username": AUDITOR,
            "number": 1,
        }


def test_the_table_names_every_endpoint_and_no_other(app: Flask) -> None:
    assert set(app.view_functions) == set(MAY)


def test_each_role_opens_its_own_pages_and_no_other(
    app: Flask, clock: Clock, arguments: dict[str, object]
) -> None:
    wrong = {}
    for who in EVERYONE:
        cookie = _cookie_of(app, clock, who)
        for endpoint, method, path in _requests(app, arguments):
            if _opens(app, cookie, method, path) != (who in MAY[endpoint]):
                wrong[who, method, path] = endpoint
    assert not wrong


def test_a_form_without_its_csrf_token_is_refused(
    app: Flask, clock: Clock, arguments: dict[str, object]
) -> None:
    for who in STAFF:
        cookie = _cookie_of(app, clock, who)
        for endpoint, method, path in _requests(app, arguments):
            if method == "POST" and who in MAY[endpoint]:
                assert _answer(app, cookie, method, path).status_code == 400, endpoint


def test_every_response_has_the_security_headers_and_is_not_cached(
    app: Flask, clock: Clock, arguments: dict[str, object]
) -> None:
    cookie = _cookie_of(app, clock, ADMIN)
    for endpoint, method, path in _requests(app, arguments):
        answer = _answer(app, cookie, method, path)
        for name, value in HEADERS.items():
            assert answer.headers[name] == value, endpoint
        if not path.startswith("/static"):
            assert answer.headers["Cache-Control"].startswith(("no-store", "private")), endpoint


def test_a_view_without_an_access_rule_stops_the_start() -> None:
    fresh = Flask("fresh")
    fresh.add_url_rule("/forgotten", view_func=lambda: "open to all")
    with pytest.raises(AttributeError):
        access.install(fresh)


def _requests(app: Flask, arguments: dict[str, object]) -> list[tuple[str, str, str]]:
    found, addresses = [], app.url_map.bind("localhost")
    for rule in app.url_map.iter_rules():
        values = {name: arguments[name] for name in rule.arguments if name in arguments}
        if rule.endpoint in FILES:
            values["filename"] = FILES[rule.endpoint]
        path = addresses.build(rule.endpoint, values)
        methods = (rule.methods or set()) & {"GET", "POST"}
        found += [(rule.endpoint, method, path) for method in sorted(methods)]
    return found


def _cookie_of(app: Flask, clock: Clock, who: str) -> str:
    visitor = Visitor(app.test_client(), clock)
    if who:
        assert visitor.sign_in(who).status_code == 303
    cookie = visitor.client.get_cookie("sonogate")
    return cookie.value if cookie else ""


def _answer(app: Flask, cookie: str, method: str, path: str) -> TestResponse:
    """Each request in a client of its own: signing out must not end the walk."""
    client = app.test_client()
    client.set_cookie("sonogate", cookie)
    return client.open(path, method=method, buffered=True)


def _opens(app: Flask, cookie: str, method: str, path: str) -> bool:
    answer = _answer(app, cookie, method, path)
    to_login = answer.status_code == 303 and answer.headers["Location"].startswith("/login")
    assert answer.status_code < 500, path
    return not to_login and answer.status_code not in (401, 403, 404)
