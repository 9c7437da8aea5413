"""What a request works with: settings, database, files, clock, and a session for reading."""

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
class AppContext:
    """The resources of the application, created once by ``create_app``."""

    settings: WebSettings
    database: Database
    files: FileStore
    clock: Callable[[], datetime]


def install(app: Flask, context: AppContext) -> None:
    app.extensions[_KEY] = context
    app.teardown_appcontext(_close_reader)


def app_context() -> AppContext:
    context: AppContext = current_app.extensions[_KEY]
    return context


def now() -> datetime:
    return app_context().clock()


def reader() -> Session:
    """Return the request's session for reading."""
    if "reader" not in g:
        g.reader_context = app_context().database.read()
        g.reader = g.reader_context.__enter__()
    session: Session = g.reader
    return session


@contextmanager
def writer() -> Iterator[Session]:
    """Open a transaction. Closes the session for reading, because its rows become stale."""
    _close_reader(None)
    with app_context().database.write() as session:
        yield session


def _close_reader(_error: BaseException | None) -> None:
    context: AbstractContextManager[Session] | None = g.pop("reader_context", None)
    g.pop("reader", None)
    if context is not None:
        context.__exit__(None, None, None)
