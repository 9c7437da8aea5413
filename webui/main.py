"""The process of the web service."""

import signal
import sys
from types import FrameType

import waitress

from db.engine import Database
from webui.app import create_app
from webui.settings import WebSettings


def run(settings: WebSettings) -> None:
    """Serve until SIGTERM or SIGINT. The database must have the schema of this version."""
    database = Database(settings.effective_database_url)
    signal.signal(signal.SIGTERM, _exit)
    try:
        waitress.serve(
            create_app(settings, database),
            host=settings.web_host,
            port=settings.web_port,
            threads=settings.web_threads,
            ident=None,  # no product banner
        )
    finally:
        database.close()


def _exit(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(0)  # waitress then finishes the requests that it is serving
