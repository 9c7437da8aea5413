"""How the survey starts a viewer, and what it needs for that."""

import functools
import threading
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, Locator, Page

from tests.viewers.seen import Picture, Seen
from tests.viewers.standard_studies import StandardStudy

HERE = Path(__file__).parent
SCREEN = 800, 600
"""Width and height of a page."""


@dataclass(frozen=True)
class Started:
    """A running viewer. `show` opens one object of a study, by its spec."""

    version: str
    show: Callable[[StandardStudy, str], Seen]


@dataclass(frozen=True)
class Workplace:
    """What a viewer is started with: an empty folder, the studies, and Chromium."""

    folder: Path
    studies: list[StandardStudy]
    browser: Browser


@dataclass(frozen=True)
class Program:
    """A viewer, or a library that reads objects. `start` skips with a reason when it is absent."""

    name: str
    about: str
    start: Callable[[Workplace], AbstractContextManager[Started]]
    is_viewer: bool = True
    """Whether it has a display."""
    is_optional: bool = False
    """Whether neither `make setup` nor `make peers` installs it."""
    has_own_tests: bool = False
    """Whether other tests look at it more closely, so that the page is not compared with it."""

    @property
    def slug(self) -> str:
        return self.name.lower().replace(" ", "-")


@dataclass
class Complaints:
    """What a page said went wrong: errors of scripts, dialogs, and the browser's console."""

    errors: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)

    def watch(self, page: Page) -> None:
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("dialog", self._dismiss)

    def _dismiss(self, dialog: Any) -> None:
        self.dialogs.append(dialog.message)
        dialog.dismiss()


@contextmanager
def new_page(browser: Browser) -> Iterator[tuple[Page, Complaints]]:
    page = browser.new_page(viewport={"width": SCREEN[0], "height": SCREEN[1]})
    complaints = Complaints()
    complaints.watch(page)
    yield page, complaints
    page.close()


class _QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder on loopback, and yield its address."""
    handler = functools.partial(_QuietHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def screenshot(target: Page | Locator) -> Picture:
    return np.asarray(Image.open(BytesIO(target.screenshot())).convert("RGB"))


def settled(page: Page) -> Picture:
    """Return the page once two pictures of it, apart, are the same: however slow the machine is."""
    before = screenshot(page)
    for _ in range(60):
        page.wait_for_timeout(250)
        now = screenshot(page)
        if np.array_equal(now, before):
            break
        before = now
    return before


def read_canvas(canvas: Locator) -> Picture:
    """Return what is drawn on a canvas, without the texts above it."""
    url: str = canvas.evaluate("canvas => canvas.toDataURL()")
    return np.asarray(Image.open(BytesIO(b64decode(url.partition(",")[2]))).convert("RGB"))
