"""TCP and TLS connections: only an association request starts an association."""

import gc
import logging
import socket
import ssl
import time
from socketserver import TCPServer
from typing import Any, Final

from pynetdicom.transport import ThreadedAssociationServer

from db.errors import SettingsError
from db.intake import Sender
from listener.events import EventRecorder
from listener.settings import ListenerSettings

logger = logging.getLogger(__name__)

_A_ASSOCIATE_RQ: Final = 0x01
_TLS_HANDSHAKE: Final = 0x16
_COLLECT_INTERVAL_SECONDS: Final = 30.0
_PDU_HEADER_BYTES: Final = 6  # type, reserved, length (PS3.8 9.3.1)
_MAX_REQUEST_BYTES: Final = 1 << 20  # 128 contexts with all transfer syntaxes have 200 kB

Address = tuple[str, int]


class AssociationServer(ThreadedAssociationServer):
    """Checks the first bytes of a connection before it starts an association.

    pynetdicom itself starts two threads for every connection and ends them at a timeout, even if a
    load balancer only probes the port. It performs the TLS handshake in the accept loop, where one
    silent peer blocks all others. And it reads a first PDU of any length.
    """

    daemon_threads = True
    request_queue_size = 128
    _collect_at = 0.0
    events: EventRecorder
    """Counts connections whose first bytes are not an association request."""

    def get_request(self) -> tuple[socket.socket, Address]:
        """Accept a connection, without the TLS handshake."""
        assert self.socket is not None
        connection, address = self.socket.accept()
        return connection, address

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Start an association if the peer requests one, in the thread of its connection."""
        try:
            connection = self._prepare(request)
        except OSError as error:  # includes TLS errors
            logger.info("%s: connection dropped: %s", client_address[0], type(error).__name__)
            connection = None
        if connection is None:
            self.shutdown_request(request)
        else:
            super().process_request_thread(connection, client_address)

    def service_actions(self) -> None:
        """Collect ended associations: they are reference cycles with sockets and open files.

        pynetdicom collects at every 60th poll, which is too often for the short polls used here.
        """
        if time.monotonic() > self._collect_at:
            gc.collect()
            self._collect_at = time.monotonic() + _COLLECT_INTERVAL_SECONDS

    def stop(self) -> None:
        """Accept no new connections. Open ones continue."""
        # shutdown() of pynetdicom expects the server in a list that only start_server() fills
        TCPServer.shutdown(self)

    def _prepare(self, connection: socket.socket) -> socket.socket | None:
        """Return the connection ready for an association, None when the peer requests none."""
        # without TCP_NODELAY, every response waits some 40 ms for a delayed acknowledgement
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        # without a timeout, pynetdicom waits forever for the rest of a PDU
        connection.settimeout(self.ae.acse_timeout)
        first = _peek_pdu_header(connection, self.ae.acse_timeout)
        if not first:
            return None
        if not self._is_association_request(first):
            address = connection.getpeername()[0]
            logger.info("%s: connection closed: no DICOM association request", address)
            self.events.count(Sender("", address), "not-dicom")
            return None
        if self.ssl_context is not None:
            connection = self.ssl_context.wrap_socket(connection, server_side=True)
        connection.settimeout(self.ae.network_timeout)
        return connection

    def _is_association_request(self, first: bytes) -> bool:
        """Whether `first` starts a TLS handshake on a TLS port, or else an A-ASSOCIATE-RQ."""
        if self.ssl_context is not None:
            return first[0] == _TLS_HANDSHAKE
        if len(first) < _PDU_HEADER_BYTES or first[0] != _A_ASSOCIATE_RQ:
            return False
        return int.from_bytes(first[2:], "big") <= _MAX_REQUEST_BYTES


def build_tls_context(settings: ListenerSettings) -> ssl.SSLContext | None:
    """Return a context for TLS 1.2 or newer, None when no certificate is set.

    With a certificate authority, callers must present a certificate.

    Raises:
        SettingsError: A PEM file is invalid. The text names the variables.
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


def _peek_pdu_header(connection: socket.socket, timeout_seconds: float | None) -> bytes:
    """Return the first bytes without consuming them, fewer than a PDU header at a timeout."""
    deadline = time.monotonic() + (timeout_seconds or 0)
    while True:
        first = connection.recv(_PDU_HEADER_BYTES, socket.MSG_PEEK)
        if len(first) in (0, _PDU_HEADER_BYTES) or time.monotonic() > deadline:
            return first
        time.sleep(0.01)  # a header in two segments is rare, and a peek cannot wait for the rest
