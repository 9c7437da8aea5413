"""TCP and TLS below the associations: nothing that is not an association gets as far as one."""

import gc
import logging
import socket
import ssl
import time
from collections.abc import Callable
from socketserver import TCPServer
from typing import Any, Final

from pynetdicom.transport import ThreadedAssociationServer

from db.errors import SettingsError
from listener.settings import ListenerSettings

logger = logging.getLogger(__name__)

_A_ASSOCIATE_RQ: Final = 0x01
_TLS_HANDSHAKE: Final = 0x16
_COLLECT_EVERY_S: Final = 30.0
_HEADER_BYTES: Final = 6  # of a PDU (PS3.8 9.3.1): type, reserved, length
_LONGEST_REQUEST: Final = 1 << 20  # 128 contexts with all their transfer syntaxes take 200 kB

Address = tuple[str, int]


class Reception(ThreadedAssociationServer):
    """Looks at the first bytes of a connection before it makes an association of it.

    pynetdicom gives each connection two threads until its timeout, even one that a load balancer
    opened and closed to see whether we live; shakes TLS hands in the accept loop, where one
    silent caller keeps out all others; and reads a first PDU of any length.
    """

    daemon_threads = True
    request_queue_size = 128
    _collect_at = 0.0
    turned_away: Callable[[str], None]
    """Called with the address of a peer that does not speak DICOM."""

    def get_request(self) -> tuple[socket.socket, Address]:
        assert self.socket is not None
        connection, address = self.socket.accept()
        return connection, address

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            connection = self._welcome(request)
        except OSError as error:  # TLS errors are of this kind too
            logger.info("%s: connection dropped: %s", client_address[0], type(error).__name__)
            connection = None
        if connection is None:
            self.shutdown_request(request)
        else:
            super().process_request_thread(connection, client_address)

    def service_actions(self) -> None:
        """Ended associations are cycles that hold sockets and parts: collect them now and then.

        pynetdicom does it every 60th poll, which at our short ones would be too often.
        """
        if time.monotonic() > self._collect_at:
            gc.collect()
            self._collect_at = time.monotonic() + _COLLECT_EVERY_S

    def stop(self) -> None:
        """Take no new connections; those that run go on."""
        # pynetdicom's own shutdown() expects to be in a list that only start_server() fills
        TCPServer.shutdown(self)

    def _welcome(self, connection: socket.socket) -> socket.socket | None:
        """The connection, ready for an association; None when it does not want one."""
        _prepare(connection, self.ae.acse_timeout)
        first = _peek(connection, self.ae.acse_timeout)
        if not first:
            return None
        if not self._is_welcome(first):
            self.turned_away(connection.getpeername()[0])
            return None
        if self.ssl_context is not None:
            connection = self.ssl_context.wrap_socket(connection, server_side=True)
        connection.settimeout(self.ae.network_timeout)
        return connection

    def _is_welcome(self, first: bytes) -> bool:
        if self.ssl_context is not None:
            return first[0] == _TLS_HANDSHAKE
        if len(first) < _HEADER_BYTES or first[0] != _A_ASSOCIATE_RQ:
            return False
        return int.from_bytes(first[2:], "big") <= _LONGEST_REQUEST


def tls_context(settings: ListenerSettings) -> ssl.SSLContext | None:
    """TLS 1.2 or newer with our certificate, and callers' if an authority is given; None: no TLS.

    Raises:
        SettingsError: a PEM file is not what it should be; names the variables.
    """
    if settings.dicom_tls_certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(settings.dicom_tls_certificate, settings.dicom_tls_key)
        if settings.dicom_tls_ca is not None:
            context.load_verify_locations(settings.dicom_tls_ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except OSError as error:
        raise SettingsError(
            "SONOGATE_DICOM_TLS_CERTIFICATE, SONOGATE_DICOM_TLS_KEY and SONOGATE_DICOM_TLS_CA name"
            f" PEM files that cannot be used together: {error.strerror or error}"
        ) from None
    return context


def _prepare(connection: socket.socket, patience_s: float | None) -> None:
    # Without it each answer waits some 40 ms for the peer's delayed acknowledgement.
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    # pynetdicom would wait for ever for the rest of a PDU whose sender vanished.
    connection.settimeout(patience_s)


def _peek(connection: socket.socket, patience_s: float | None) -> bytes:
    """The first bytes, left where they are; fewer than a PDU's header if no more came in time."""
    deadline = time.monotonic() + (patience_s or 0)
    while True:
        first = connection.recv(_HEADER_BYTES, socket.MSG_PEEK)
        if len(first) in (0, _HEADER_BYTES) or time.monotonic() > deadline:
            return first
        time.sleep(0.01)  # a header in two segments: rare, and cannot be waited for while peeking
