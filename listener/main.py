"""The listener as a process."""

import logging
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from socket import socket, socketpair
from threading import Event, Thread
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from db.types import now_utc
from listener.reconcile import Reconciler
from listener.server import Listener
from listener.settings import ListenerSettings

logger = logging.getLogger(__name__)

HOUSEKEEPING_S: Final = 600.0
_ORPHAN_AGE: Final = timedelta(minutes=10)
"""Longer than any commit takes: a younger file may be about to get its row."""
_PART_AGE_S: Final = 3600.0
"""Longer than any sender pauses within a transfer: see ``dicom_network_timeout_seconds``."""


def run(settings: ListenerSettings) -> None:
    """Listen until SIGTERM or SIGINT; running transfers may then go on for the time of grace.

    Raises:
        SettingsError: the routes file or a certificate is wrong.
        CannotListen: the port is taken.
    """
    stop = Event()
    with _stop_signals() as signals, Listener(settings) as listener:
        Thread(target=keep_house, args=(listener, stop), name="housekeeping", daemon=True).start()
        signals.recv(1)
        logger.info("stopping")
        stop.set()


@contextmanager
def _stop_signals() -> Iterator[socket]:
    """A socket that has a byte to read once the process was told to stop.

    The system may hand a signal to any thread, and Python runs handlers in the main one only: if
    that waits for an Event it sleeps on. The byte is written wherever the signal arrives.
    """
    receiver, sender = socketpair()
    sender.setblocking(False)
    with receiver, sender:
        before = signal.set_wakeup_fd(sender.fileno())
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        try:
            yield receiver
        finally:
            signal.set_wakeup_fd(before)


def keep_house(listener: Listener, stop: Event) -> None:
    """Settle what a crash left behind, at the start and now and then."""
    reconciler = Reconciler(listener.database, listener.files, listener.keeper, listener.journal)
    while not stop.is_set():
        try:
            tidy(listener, reconciler)
        except (OSError, SQLAlchemyError) as error:
            logger.error("housekeeping put off: %s", type(error).__name__)
        stop.wait(HOUSEKEEPING_S)


def tidy(listener: Listener, reconciler: Reconciler) -> None:
    """One round. Raises OSError, SQLAlchemyError."""
    now = now_utc()
    removed = listener.files.remove_stale_spool_files(time.time() - _PART_AGE_S)
    if removed:
        logger.info("%d parts of broken transfers removed", removed)
    reconciler.settle(untouched_since=now - _ORPHAN_AGE, now=now)
