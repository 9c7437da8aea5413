"""The DICOM upper layer protocol for TCP/IP: PDUs on a transport connection (PS3.8 9.3)."""

import enum
import select
import socket
import ssl
import struct
import time
from typing import Final

PDU_HEADER: Final = struct.Struct(">BxL")
"""PDU type, reserved, length of the rest (PS3.8 9.3.1)."""
PDV_HEADER: Final = struct.Struct(">LBB")
"""Length of the rest, Presentation Context ID, Message Control Header (PS3.8 9.3.5.1, E.2)."""
PDV_LENGTH_BYTES: Final = 4
MESSAGE_CONTROL_BYTES: Final = 2  # context ID and Message Control Header, counted in the length
IS_COMMAND: Final = 1
IS_LAST: Final = 2

_A_ABORT: Final = struct.Struct(">BxLxxBB")
_A_ASSOCIATE_RJ: Final = struct.Struct(">BxLxBBB")
_FOUR_RESERVED_BYTES: Final = bytes(4)
_CLOSE_SECONDS: Final = 2.0
_CLOSE_BYTES: Final = 1 << 20


class PduType(enum.IntEnum):
    A_ASSOCIATE_RQ = 1
    A_ASSOCIATE_AC = 2
    A_ASSOCIATE_RJ = 3
    P_DATA_TF = 4
    A_RELEASE_RQ = 5
    A_RELEASE_RP = 6
    A_ABORT = 7


class AbortReason(enum.IntEnum):
    """Reason of an A-ABORT by the service provider (PS3.8 9.3.8)."""

    NOT_SPECIFIED = 0
    UNRECOGNIZED_PDU = 1
    UNEXPECTED_PDU = 2
    UNRECOGNIZED_PARAMETER = 4
    UNEXPECTED_PARAMETER = 5
    INVALID_PARAMETER_VALUE = 6


class AbortSource(enum.IntEnum):
    SERVICE_USER = 0
    SERVICE_PROVIDER = 2


class Rejection(enum.Enum):
    """Result, source and reason of an A-ASSOCIATE-RJ (PS3.8 9.3.4)."""

    CALLING_AE_NOT_RECOGNIZED = (1, 1, 3)
    CALLED_AE_NOT_RECOGNIZED = (1, 1, 7)
    PROTOCOL_VERSION_NOT_SUPPORTED = (1, 2, 2)
    TEMPORARY_CONGESTION = (2, 3, 1)
    LOCAL_LIMIT_EXCEEDED = (2, 3, 2)


class ProtocolError(Exception):
    """Raised when a peer violates PS3.7 or PS3.8: the association is aborted.

    The text contains nothing that came from the network.
    """

    def __init__(self, problem: str, reason: AbortReason) -> None:
        super().__init__(problem)
        self.reason = reason


class ConnectionClosed(ConnectionError):
    """Raised when the peer closed the connection."""


def build_rejection(rejection: Rejection) -> bytes:
    """Return an A-ASSOCIATE-RJ PDU."""
    return _A_ASSOCIATE_RJ.pack(PduType.A_ASSOCIATE_RJ, 4, *rejection.value)


def build_abort(source: AbortSource, reason: AbortReason) -> bytes:
    """Return an A-ABORT PDU."""
    return _A_ABORT.pack(PduType.A_ABORT, 4, source, reason)


def build_release(kind: PduType) -> bytes:
    """Return an A-RELEASE-RQ or A-RELEASE-RP PDU."""
    return PDU_HEADER.pack(kind, 4) + _FOUR_RESERVED_BYTES


def build_fragment(context_id: int, control: int, fragment: bytes) -> bytes:
    """Return a P-DATA-TF PDU with one fragment of a message."""
    pdv = PDV_HEADER.pack(len(fragment) + MESSAGE_CONTROL_BYTES, context_id, control) + fragment
    return PDU_HEADER.pack(PduType.P_DATA_TF, len(pdv)) + pdv


class Connection:
    """A transport connection that reads into one buffer.

    A view that it returned is valid until the next read. Every read and write is limited by the
    idle time and by the deadline, if one is set; both raise TimeoutError.
    """

    def __init__(self, transport: socket.socket, *, buffer_bytes: int, idle_seconds: float) -> None:
        self._transport = transport
        self._buffer = memoryview(bytearray(buffer_bytes))
        self._start = self._end = 0
        self._idle_seconds = idle_seconds
        self._deadline: float | None = None
        self._timeout: float | None = None

    def set_idle_timeout(self, seconds: float) -> None:
        """Limit the time that the peer may send nothing."""
        self._idle_seconds = seconds

    def set_deadline(self, seconds: float | None) -> None:
        """Limit the time from now until everything is read; None removes the limit."""
        self._deadline = None if seconds is None else time.monotonic() + seconds

    def wait_for_data(self, wake_up: socket.socket) -> bool:
        """Wait for the peer's next byte. Return False when `wake_up` is readable before it.

        Raises:
            TimeoutError: Neither happened within the idle time.
        """
        if self._start < self._end or self._has_decrypted_bytes():
            return True
        poll = select.poll()
        poll.register(self._transport, select.POLLIN)
        poll.register(wake_up, select.POLLIN)
        ready = [descriptor for descriptor, _ in poll.poll(self._idle_seconds * 1000)]
        if not ready:
            raise TimeoutError
        return self._transport.fileno() in ready

    def read(self, count: int) -> memoryview:
        """Return exactly `count` bytes, at most the size of the buffer."""
        while self._end - self._start < count:
            self._fill()
        self._start += count
        return self._buffer[self._start - count : self._start]

    def read_some(self, most: int) -> memoryview:
        """Return what has arrived, or else what arrives next: 1 to `most` bytes."""
        if self._start == self._end:
            self._fill()
        start = self._start
        self._start = min(start + most, self._end)
        return self._buffer[start : self._start]

    def read_long(self, count: int) -> bytes:
        """Return a copy of exactly `count` bytes, which may be more than the buffer holds."""
        content = bytearray()
        while len(content) < count:
            content += self.read_some(count - len(content))
        return bytes(content)

    def send(self, data: bytes) -> None:
        self._limit_wait()
        self._transport.sendall(data)

    def wait_for_close(self) -> None:
        """Read until the peer closes the connection, which is its turn (PS3.8 9.2, state 13).

        To close first would reset the connection, and the peer may lose the last PDU.
        """
        self.set_deadline(_CLOSE_SECONDS)
        received = 0
        try:
            while received < _CLOSE_BYTES:
                received += len(self.read_some(len(self._buffer)))
        except OSError:
            return

    def _fill(self) -> None:
        remaining = self._end - self._start
        if self._start:
            self._buffer[:remaining] = self._buffer[self._start : self._end]
            self._start, self._end = 0, remaining
        self._limit_wait()
        count = self._transport.recv_into(self._buffer[remaining:])
        if not count:
            raise ConnectionClosed
        self._end += count

    def _limit_wait(self) -> None:
        timeout = self._idle_seconds
        if self._deadline is not None:
            timeout = min(timeout, self._deadline - time.monotonic())
            if timeout <= 0:
                raise TimeoutError
        if timeout != self._timeout:  # a system call
            self._transport.settimeout(timeout)
            self._timeout = timeout

    def _has_decrypted_bytes(self) -> bool:
        return isinstance(self._transport, ssl.SSLSocket) and self._transport.pending() > 0
