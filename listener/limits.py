"""How many connections and associations there may be, so that no peer shuts out another."""

import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import Condition

from db.intake import Sender


class TooManyAssociations(Exception):
    """Raised when an association would exceed a limit."""


@dataclass(eq=False)
class OpenConnection:
    """A transport connection from its acceptance to its end."""

    transport: socket.socket
    address: str
    sender: Sender | None = field(default=None, init=False)
    """Known once its association is accepted."""

    def shut_down(self) -> None:
        """End every read and write of the connection, in whichever thread they wait."""
        with suppress(OSError):  # not SSLSocket.shutdown, which would continue without encryption
            socket.socket.shutdown(self.transport, socket.SHUT_RDWR)


class Limits:
    """The open connections.

    A connection is pending until its association is accepted. Too many pending ones never keep a
    new one out: the oldest of the address that has most of them is closed instead. A sender
    introduces itself within milliseconds, so whoever connects and falls silent loses its place.
    """

    def __init__(
        self, *, pending: int, associations: int, per_address: int, per_sender: int
    ) -> None:
        self._max_pending = pending
        self._max_associations = associations
        self._max_per_address = per_address
        self._max_per_sender = per_sender
        self._changed = Condition()
        self._pending: dict[OpenConnection, None] = {}  # in the order of their acceptance
        self._associations: dict[OpenConnection, Sender] = {}

    @contextmanager
    def connection(self, opened: OpenConnection) -> Iterator[None]:
        """Count a connection added by `add` until the end of the block."""
        try:
            yield
        finally:
            self.remove(opened)

    def add(self, opened: OpenConnection) -> OpenConnection | None:
        """Add a pending connection. Return the one that was closed to make room for it, if any."""
        with self._changed:
            evicted = self._find_surplus() if len(self._pending) >= self._max_pending else None
            if evicted is not None:
                del self._pending[evicted]
            self._pending[opened] = None
        if evicted is not None:
            evicted.shut_down()
        return evicted

    def admit(self, opened: OpenConnection, sender: Sender) -> None:
        """Count a connection as an association.

        Raises:
            TooManyAssociations: There are too many of this sender, of its address, or of all.
        """
        with self._changed:
            senders = list(self._associations.values())
            same_address = sum(other.address == sender.address for other in senders)
            if (
                len(senders) >= self._max_associations
                or same_address >= self._max_per_address
                or senders.count(sender) >= self._max_per_sender
            ):
                raise TooManyAssociations
            self._pending.pop(opened, None)
            self._associations[opened] = sender

    def remove(self, opened: OpenConnection) -> None:
        with self._changed:
            self._pending.pop(opened, None)
            self._associations.pop(opened, None)
            self._changed.notify_all()

    def wait_for_associations(self, seconds: float) -> bool:
        """Wait for the end of all associations. Return whether they have ended."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._associations, seconds)

    def wait_for_all(self, seconds: float) -> bool:
        """Wait for the end of all connections. Return whether they have ended."""
        with self._changed:
            return self._changed.wait_for(
                lambda: not self._associations and not self._pending, seconds
            )

    def shut_down_pending(self) -> None:
        with self._changed:
            connections = list(self._pending)
        for opened in connections:
            opened.shut_down()

    def shut_down_associations(self) -> int:
        """Break off all associations and return their number."""
        with self._changed:
            connections = list(self._associations)
        for opened in connections:
            opened.shut_down()
        return len(connections)

    def _find_surplus(self) -> OpenConnection:
        addresses = Counter(opened.address for opened in self._pending)
        address, _ = addresses.most_common(1)[0]
        return next(opened for opened in self._pending if opened.address == address)
