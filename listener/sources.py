"""Who may send, as the routes file says at this moment."""

import logging
from pathlib import Path
from threading import Lock

from db.errors import SettingsError
from db.intake import Sender
from db.routes import Routes, Source, load_routes

logger = logging.getLogger(__name__)

Stamp = tuple[int, int, int] | None


class Sources:
    """The allow list. A change of the file holds from the next look on; a bad one is not taken.

    Raises:
        SettingsError: the file is wrong at the start.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = Lock()
        self._stamp = _stamp(path)
        self._routes = load_routes(path)

    def find(self, sender: Sender) -> Source | None:
        """The first source that admits the sender; None: refuse it."""
        return self._current().source_for(sender.calling_ae, sender.address)

    def _current(self) -> Routes:
        with self._lock:
            stamp = _stamp(self._path)
            if stamp != self._stamp:
                self._stamp = stamp
                self._read_again(stamp)
            return self._routes

    def _read_again(self, stamp: Stamp) -> None:
        if stamp is None:  # most likely an editor between two steps, or an accident
            logger.warning("the routes file is gone: its last sources stay in force")
            return
        try:
            self._routes = load_routes(self._path)
            logger.info("the routes file changed: read again")
        except SettingsError as error:
            logger.error("the routes file is wrong, its last sources stay in force: %s", error)


def _stamp(path: Path) -> Stamp:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
