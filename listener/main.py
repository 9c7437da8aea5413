"""Run the listener as a process."""

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
from listener.orphans import OrphanRecovery
from listener.server import Listener
from listener.settings import ListenerSettings

logger = logging.getLogger(__name__)

MAINTENANCE_INTERVAL_SECONDS: Final = 600.0
_ORPHAN_AGE: Final = timedelta(minutes=10)
"""Longer than any commit takes, so a younger file may still get its row."""
_INCOMING_FILE_AGE_SECONDS: Final = 3600.0
"""Longer than a sender may pause within a transfer: see ``dicom_network_timeout_seconds``."""


def run(settings: ListenerSettings) -> None:
    """Listen until SIGTERM or SIGINT, then let transfers finish within ``dicom_stop_grace_seconds``.

    Raises:
        SettingsError: The routes file or a certificate is invalid.
        CannotListen: The port is not available.
    """
    stop = Event()
    with _receive_stop_signals() as stop_socket, Listener(settings) as listener:
        Thread(
            target=run_maintenance, args=(listener, stop), name="maintenance", daemon=True
        ).start()
        stop_socket.recv(1)
        logger.info("stopping")
        stop.set()


@contextmanager
def _receive_stop_signals() -> Iterator[socket]:
    """Yield a socket that receives one byte at SIGTERM or SIGINT.

    The system may deliver a signal to any thread, but Python runs its handler in the main thread
    only, which would not wake up from waiting for an Event. The byte is written in every case.
    """
    receiver, sender = socketpair()
    sender.setblocking(False)
    with receiver, sender:
        previous = signal.set_wakeup_fd(sender.fileno())
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        try:
            yield receiver
        finally:
            signal.set_wakeup_fd(previous)


def run_maintenance(listener: Listener, stop: Event) -> None:
    """Remove aborted transfers and recover orphans, at the start and every ten minutes."""
    recovery = OrphanRecovery(listener.database, listener.files, listener.storage, listener.events)
    while not stop.is_set():
        try:
            removed = listener.files.remove_stale_spool_files(
                time.time() - _INCOMING_FILE_AGE_SECONDS
            )
            if removed:
                logger.info("removed %d files of aborted transfers", removed)
            now = now_utc()
            recovery.recover(untouched_since=now - _ORPHAN_AGE, now=now)
        except (OSError, SQLAlchemyError) as error:
            logger.error("maintenance postponed: %s", type(error).__name__)
        stop.wait(MAINTENANCE_INTERVAL_SECONDS)
