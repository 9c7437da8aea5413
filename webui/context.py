"""What a request works with: settings, clock, files, and a session for reading."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime

from flask import Flask, current_app, g
from sqlalchemy.orm import Session

from db.engine import Database
from db.files import FileStore
from webui.settings import WebSettings

_KEY = "sonogate"


@dataclass(frozen=True)
class Services:
    """Composed once, by ``create_app``."""

    settings: WebSettings
    database: Database
    files: FileStore
    clock: Callable[[], datetime]


def install(app: Flask, services: Services) -> None:
    app.extensions[_KEY] = services
    app.teardown_appcontext(_close_reader)


def services() -> Services:
    found: Services = current_app.extensions[_KEY]
    return found


def now() -> datetime:
    return services().clock()


def reader() -> Session:
    """The request's one session for looking."""
    if "reader" not in g:
        g.reader_context = services().database.read()
        g.reader = g.reader_context.__enter__()
    session: Session = g.reader
    return session


@contextmanager
def writer() -> Iterator[Session]:
    """A transaction. What the reader saw before is stale afterwards, so it is closed."""
    _close_reader(None)
    with services().database.write() as session:
        yield session


def _close_reader(_error: BaseException | None) -> None:
    context: AbstractContextManager[Session] | None = g.pop("reader_context", None)
    g.pop("reader", None)
    if context is not None:
        context.__exit__(None, None, None)
