"""The routes file as the workers see it, and its destinations as rows."""

import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.errors import SettingsError
from db.routes import DestinationTable, Routes, load_routes
from db.schema import Destination

logger = logging.getLogger(__name__)


class RouteBook:
    """The routes in force. A changed file holds from the next look on; a bad one is not taken.

    Raises:
        SettingsError: the file is wrong at the start.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._stamp = _stamp(path)
        self._routes = load_routes(path)

    def current(self) -> Routes:
        with self._lock:
            stamp = _stamp(self._path)
            if stamp != self._stamp:
                self._stamp = stamp
                self._read_again()
            return self._routes

    def _read_again(self) -> None:
        if self._stamp is None:  # most likely an editor between two steps
            logger.warning("the routes file is gone: its last routes stay in force")
            return
        try:
            self._routes = load_routes(self._path)
        except SettingsError as error:
            logger.error("the routes file is wrong, its last routes stay in force: %s", error)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def keep_in_step(session: Session, tables: Sequence[DestinationTable]) -> dict[str, Destination]:
    """Make the rows say what the file says, by name; returns the active ones.

    A destination that left the file becomes inactive: deliveries to it are history.
    """
    rows = {row.name: row for row in session.scalars(select(Destination).with_for_update())}
    for row in rows.values():
        row.active = False
    for table in tables:
        row = rows.setdefault(table.name, Destination(id=uuid4(), name=table.name))
        row.ae_title, row.host, row.port = table.ae_title, table.host, table.port
        row.results = [kind.value for kind in table.results]
        row.active = True
        session.add(row)
    session.flush()
    return {name: row for name, row in rows.items() if row.active}
