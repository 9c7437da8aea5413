"""A site with a small staff, the application over it, and a real browser in front."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import waitress
from flask import Flask
from flask.testing import FlaskClient
from playwright.sync_api import Browser, Page, sync_playwright
from waitress.wasyncore import close_all
from werkzeug.test import TestResponse

from db.engine import Database
from db.schema import Role
from tests import peers
from tests.webui.seeding import NOW, PASSWORD, Site
from webui.app import create_app
from webui.settings import WebSettings


@dataclass
class Clock:
    """Time that a test moves."""

    moment: datetime = NOW

    def __call__(self) -> datetime:
        return self.moment

    def pass_by(self, **amount: float) -> None:
        self.moment += timedelta(**amount)


@dataclass
class Visitor:
    """A browser without windows: Flask's test client, with the form token taken care of."""

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


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=peers.find_program("chromium"),
            args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
        )
        yield browser
        browser.close()


@pytest.fixture
def address(settings: WebSettings, site: Site) -> Iterator[str]:
    """The application on a real socket, with the real clock."""
    app = create_app(settings, site.database)
    sockets: dict[int, object] = {}
    server = waitress.create_server(app, map=sockets, host="127.0.0.1", port=0, threads=6)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.effective_port}"
    # First whoever writes to the sockets, then the sockets, by the thread that waits for them:
    # closed by another one they end it with "Bad file descriptor" (Pylons/waitress#468).
    server.task_dispatcher.shutdown()
    server.trigger.pull_trigger(lambda: close_all(sockets))
    thread.join(10)
    assert not thread.is_alive()


@pytest.fixture
def complaints() -> list[str]:
    """What the browser reports on ``page``; a test that provokes it takes it out."""
    return []


@pytest.fixture
def page(chromium: Browser, address: str, complaints: list[str]) -> Iterator[Page]:
    """A window of 1280 x 800 in which nothing fails and nothing breaks the content policy."""
    context = chromium.new_context(
        base_url=address, viewport={"width": 1280, "height": 800}, reduced_motion="reduce"
    )
    page = context.new_page()
    page.set_default_timeout(10_000)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "console",
        lambda line: complaints.append(line.text) if line.type == "error" else None,
    )
    yield page
    context.close()
    assert not complaints


def sign_in(page: Page, username: str, password: str = PASSWORD) -> None:
    page.goto("/login")
    page.get_by_label("Username").fill(username)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/worklist")
