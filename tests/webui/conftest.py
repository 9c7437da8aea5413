"""A site with three users, the application, its test client, and a real browser."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import waitress
from flask import Flask
from flask.testing import FlaskClient
from playwright.sync_api import Browser, Page
from waitress.wasyncore import close_all
from werkzeug.test import TestResponse

from db.engine import Database
from db.schema import Role
from tests.webui.seeding import NOW, PASSWORD, Site
from webui.app import create_app
from webui.settings import WebSettings


@dataclass
class Clock:
    """A clock that the test sets."""

    moment: datetime = NOW

    def __call__(self) -> datetime:
        return self.moment

    def advance(self, **amount: float) -> None:
        self.moment += timedelta(**amount)


@dataclass
class Visitor:
    """Flask's test client, which sends the CSRF token with every form."""

    client: FlaskClient
    clock: Clock
    token: str = field(default="")

    def get(self, path: str, **options: Any) -> TestResponse:
        return self.client.get(path, **options)

    def post(self, path: str, **form: str) -> TestResponse:
        return self.client.post(path, data={"csrf_token": self.token, **form})

    def sign_in(self, username: str, password: str = PASSWORD) -> TestResponse:
        self.take_token("/login")
        answer = self.post("/login", username=username, password=password)
        self.take_token("/account/password")
        return answer

    def take_token(self, path: str) -> None:
        page = self.client.get(path).text
        _, _, rest = page.partition('name="csrf_token" value="')
        self.token = rest.partition('"')[0]


@pytest.fixture
def settings(tmp_path: Path) -> WebSettings:
    return WebSettings(home=tmp_path / "home", refresh_interval_seconds=1, page_size=20)


def build_site(database: Database, settings: WebSettings) -> Site:
    files = settings.file_store()
    files.prepare()
    site = Site(database, files)
    for username, role in (
        ("admin", Role.ADMINISTRATOR),
        ("reader", Role.RADIOLOGIST),
        ("auditor", Role.AUDITOR),
    ):
        site.add_user(username, role)
    return site


@pytest.fixture
def site(sqlite_database: Database, settings: WebSettings) -> Site:
    return build_site(sqlite_database, settings)


@pytest.fixture
def either_site(database: Database, settings: WebSettings) -> Site:
    """On SQLite and on PostgreSQL."""
    return build_site(database, settings)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def app(settings: WebSettings, site: Site, clock: Clock) -> Flask:
    return create_app(settings, site.database, clock)


@pytest.fixture
def visitor(app: Flask, clock: Clock) -> Visitor:
    return Visitor(app.test_client(), clock)


@pytest.fixture
def other_visitor(app: Flask, clock: Clock) -> Visitor:
    """A second browser."""
    return Visitor(app.test_client(), clock)


# ------------------------------------------------------------------------------ in a browser


@contextmanager
def serve(settings: WebSettings, database: Database) -> Iterator[str]:
    """Serve the application on a real socket with the real clock; yields its address."""
    app = create_app(settings, database)
    sockets: dict[int, object] = {}
    server = waitress.create_server(app, map=sockets, host="127.0.0.1", port=0, threads=6)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.effective_port}"
    # The thread that polls the sockets must close them, after the threads that write to them have
    # ended: otherwise it fails with "Bad file descriptor" (Pylons/waitress#468).
    server.task_dispatcher.shutdown()
    server.trigger.pull_trigger(lambda: close_all(sockets))
    thread.join(10)
    assert not thread.is_alive()


@pytest.fixture
def address(settings: WebSettings, site: Site) -> Iterator[str]:
    with serve(settings, site.database) as address:
        yield address


@contextmanager
def open_page(browser: Browser, address: str, **options: Any) -> Iterator[Page]:
    """Open a window of 1280 x 800 pixels in a browser context of its own."""
    context = browser.new_context(
        base_url=address,
        viewport={"width": 1280, "height": 800},
        reduced_motion="reduce",
        **options,
    )
    page = context.new_page()
    page.set_default_timeout(10_000)
    yield page
    context.close()


@pytest.fixture
def complaints() -> Iterator[list[str]]:
    """Errors that the browser reports. A test that expects some clears the list."""
    errors: list[str] = []
    yield errors
    assert not errors


def watch(page: Page, complaints: list[str]) -> None:
    """Collect script errors, failed requests and violations of the content security policy."""
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "console",
        lambda line: complaints.append(line.text) if line.type == "error" else None,
    )


@pytest.fixture
def page(chromium: Browser, address: str, complaints: list[str]) -> Iterator[Page]:
    with open_page(chromium, address) as page:
        watch(page, complaints)
        yield page


def sign_in(page: Page, username: str, password: str = PASSWORD) -> None:
    page.goto("/login")
    page.get_by_label("Username").fill(username)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/worklist")
