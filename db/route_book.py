"""The routes file while services run: people edit it, and nobody restarts anything."""

import logging
from pathlib import Path
from threading import Lock

from db.errors import SettingsError
from db.routes import CheckResult, Routes, load_routes

logger = logging.getLogger(__name__)

Stamp = tuple[int, int, int] | None


class RouteBook:
    """The routes in force. A changed file holds from the next look on; a bad one is not taken.

    `check_result` is that of `db.routes.load_routes`.

    Raises:
        SettingsError: the file is wrong at the start.
    """

    def __init__(self, path: Path, check_result: CheckResult | None = None) -> None:
        self._path = path
        self._check_result = check_result
        self._lock = Lock()
        self._stamp = _stamp(path)
        self._routes = load_routes(path, check_result)

    def current(self) -> Routes:
        """The same object for as long as nothing changes."""
        with self._lock:
            stamp = _stamp(self._path)
            if stamp != self._stamp:
                self._stamp = stamp
                self._read_again()
            return self._routes

    def _read_again(self) -> None:
        if self._stamp is None:  # most likely an editor between two steps, or an accident
            logger.warning("the routes file is gone: what it said last stays in force")
            return
        try:
            self._routes = load_routes(self._path, self._check_result)
            logger.info("the routes file changed: read again")
        except SettingsError as error:
            logger.error("the routes file is wrong, what it said last stays in force: %s", error)


def _stamp(path: Path) -> Stamp:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
