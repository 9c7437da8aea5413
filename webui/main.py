"""The web service as a process."""

import signal
import sys
from types import FrameType

import waitress

from db.engine import Database
from webui.app import create_app
from webui.settings import WebSettings


def run(settings: WebSettings) -> None:
    """Serve until SIGTERM or SIGINT. The database must be at this version's schema."""
    database = Database(settings.effective_database_url)
    signal.signal(signal.SIGTERM, _leave)
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


def _leave(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(0)  # waitress takes SystemExit as its order to finish what it is serving
