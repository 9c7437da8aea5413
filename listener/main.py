"""Run the listener as a process."""

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from socket import socket, socketpair

from listener.server import Listener
from listener.settings import ListenerSettings

logger = logging.getLogger(__name__)


def run(settings: ListenerSettings) -> None:
    """Listen until SIGTERM or SIGINT, then let transfers finish within ``dicom_stop_grace_seconds``.

    Raises:
        SettingsError: The routes file or a certificate is invalid.
        CannotListen: The port is not available.
    """
    with _receive_stop_signals() as stop_socket, Listener(settings):
        stop_socket.recv(1)
        logger.info("stopping")


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
