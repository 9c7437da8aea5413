"""The routes file of a running service, reloaded when it changes."""

import logging
from pathlib import Path
from threading import Lock

from db.errors import SettingsError
from db.routes import CheckDestination, Routes, load_routes

logger = logging.getLogger(__name__)

FileVersion = tuple[int, int, int] | None
"""Modification time, size and inode; None if the file does not exist."""


class RoutesFile:
    """The routes in force. A changed file takes effect at the next call of `current`; an invalid
    one is ignored until it is corrected.

    `check_destination` is that of `db.routes.load_routes`.

    Raises:
        SettingsError: the file is invalid at the start.
    """

    def __init__(self, path: Path, check_destination: CheckDestination | None = None) -> None:
        self._path = path
        self._check_destination = check_destination
        self._lock = Lock()
        self._version = _file_version(path)
        self._routes = load_routes(path, check_destination)

    def current(self) -> Routes:
        """Return the routes in force: the same object until the file changes."""
        with self._lock:
            version = _file_version(self._path)
            if version != self._version:
                self._version = version
                self._reload()
            return self._routes

    def _reload(self) -> None:
        if self._version is None:  # an editor that replaces the file, or an accident
            logger.warning("routes file not found: the last valid version stays in force")
            return
        try:
            self._routes = load_routes(self._path, self._check_destination)
            logger.info("routes file reloaded")
        except SettingsError as error:
            logger.error("routes file is invalid, the last valid version stays in force: %s", error)


def _file_version(path: Path) -> FileVersion:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
