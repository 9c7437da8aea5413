"""Accept transport connections and establish associations (PS3.8 9.2, states 2, 3 and 13)."""

import logging
import select
import socket
import ssl
import time
from threading import Event, Thread
from typing import Final

from listener.association import Association
from listener.attributes import build_sender
from listener.errors import locate
from listener.events import EventRecorder
from listener.handlers import AssociationRefusal, Handlers
from listener.limits import Limits, OpenConnection, TooManyAssociations
from listener.negotiation import (
    MAX_REQUEST_BYTES,
    AssociationRequest,
    Negotiation,
    Negotiator,
    decode_request,
)
from listener.peers import Caller
from listener.settings import ListenerSettings
from listener.transport import format_subject, prepare_connection
from listener.upper_layer import (
    PDU_HEADER,
    AbortReason,
    AbortSource,
    Connection,
    ConnectionClosed,
    PduType,
    ProtocolError,
    Rejection,
    build_abort,
    build_rejection,
)

logger = logging.getLogger(__name__)

_BUFFER_BYTES: Final = 1 << 18
_TLS_HANDSHAKE: Final = 0x16
_BREATHER_SECONDS: Final = 0.1
_REFUSED_CALLER: Final = AssociationRefusal(Rejection.CALLING_AE_NOT_RECOGNIZED, "unknown-address")
_STOPPING: Final = AssociationRefusal(Rejection.TEMPORARY_CONGESTION, "stopping")
_TOO_MANY: Final = AssociationRefusal(Rejection.LOCAL_LIMIT_EXCEEDED, "too-many-associations")


class _Signal:
    """A socket that becomes readable once, for threads that wait for other sockets too."""

    receiver: socket.socket

    def open(self) -> None:
        self.receiver, self._sender = socket.socketpair()

    def send(self) -> None:
        self._sender.send(b"\0")

    def free(self) -> None:
        self.receiver.close()
        self._sender.close()


class Acceptor:
    """Accepts connections in one thread and serves each in a thread of its own.

    A peer whose address is on no list is refused before a byte of it is read. Every other one has
    a limited time for its TLS handshake and its association request together.
    """

    def __init__(
        self,
        settings: ListenerSettings,
        *,
        tls_context: ssl.SSLContext | None,
        limits: Limits,
        handlers: Handlers,
        events: EventRecorder,
    ) -> None:
        self._settings = settings
        self._tls_context = tls_context
        self._limits = limits
        self._handlers = handlers
        self._events = events
        self._negotiator = Negotiator(settings.dicom_max_pdu_bytes)
        self._stopping = Event()
        self._release = _Signal()
        self._close = _Signal()

    def serve(self, listening: socket.socket) -> None:
        """Accept connections until `close` is called."""
        listening.setblocking(False)
        poll = select.poll()
        poll.register(listening, select.POLLIN)
        poll.register(self._close.receiver, select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in poll.poll()}
            if self._close.receiver.fileno() in ready:
                return
            self._accept(listening)

    def refuse_new_associations(self) -> None:
        """Refuse further associations for the time being. Open ones continue."""
        self._stopping.set()

    def release_associations(self) -> None:
        """Release every association as soon as it has no message in hand."""
        self._release.send()

    def close(self) -> None:
        """End `serve`."""
        self._close.send()

    def open(self) -> None:
        """Get ready for `serve`."""
        self._release.open()
        self._close.open()

    def free(self) -> None:
        """Close what `open` opened, once no thread uses it."""
        self._release.free()
        self._close.free()

    # -------------------------------------------------------------------------- connections

    def _accept(self, listening: socket.socket) -> None:
        try:
            transport, (address, *_) = listening.accept()
        except BlockingIOError:  # the peer is gone already
            return
        except OSError as error:  # no file descriptor is left
            logger.error("no connection can be accepted: %s", error.strerror)
            time.sleep(_BREATHER_SECONDS)
            return
        opened = OpenConnection(transport, build_sender("", address).address)
        if not self._handlers.admits_address(opened.address):
            self._refuse_address(opened)
            return
        evicted = self._limits.add(opened)
        if evicted is not None:
            self._events.count(build_sender("", evicted.address), "connection-evicted")
        try:
            Thread(target=self._run, args=(opened,), name="association", daemon=True).start()
        except RuntimeError:  # the system has no thread left
            logger.error("no thread can be started for a connection")
            self._limits.remove(opened)
            transport.close()

    def _refuse_address(self, opened: OpenConnection) -> None:
        """Say so, as far as that is possible without waiting, and close the connection."""
        self._handlers.record_refusal(build_sender("", opened.address), _REFUSED_CALLER.code)
        with opened.transport as transport:
            if self._tls_context is None:
                try:
                    transport.setblocking(False)
                    transport.send(build_rejection(_REFUSED_CALLER.rejection))
                except OSError:
                    return

    def _run(self, opened: OpenConnection) -> None:
        """Serve a connection from its first byte to its end."""
        with self._limits.connection(opened):
            try:
                self._serve_connection(opened)
            except OSError as error:
                logger.debug("%s: connection dropped: %s", opened.address, type(error).__name__)
            except Exception as error:  # noqa: BLE001  the thread must end in order
                logger.error("%s: connection dropped: %s", opened.address, locate(error))
            finally:
                opened.transport.close()

    def _serve_connection(self, opened: OpenConnection) -> None:
        deadline = time.monotonic() + self._settings.dicom_acse_timeout_seconds
        prepare_connection(opened.transport)
        subject = ""
        if self._tls_context is not None:
            if not self._shake_hands(opened, self._tls_context, deadline):
                return
            assert isinstance(opened.transport, ssl.SSLSocket)
            subject = format_subject(opened.transport.getpeercert())
        connection = Connection(
            opened.transport,
            buffer_bytes=_BUFFER_BYTES,
            idle_seconds=self._settings.dicom_acse_timeout_seconds,
        )
        connection.set_deadline(deadline - time.monotonic())
        request = self._read_request(connection, opened)
        if request is not None:
            association = self._establish(connection, opened, request, subject)
            if association is not None:
                association.run(self._release.receiver)

    def _shake_hands(
        self, opened: OpenConnection, context: ssl.SSLContext, deadline: float
    ) -> bool:
        """Perform the TLS handshake. Return False if the peer does not even begin one."""
        transport = opened.transport
        transport.settimeout(max(0.001, deadline - time.monotonic()))
        first = transport.recv(1, socket.MSG_PEEK)
        if not first:
            return False
        if first[0] != _TLS_HANDSHAKE:
            self._count_not_dicom(opened)
            return False
        opened.transport = context.wrap_socket(
            transport, server_side=True, do_handshake_on_connect=False
        )
        opened.transport.settimeout(max(0.001, deadline - time.monotonic()))
        try:
            opened.transport.do_handshake()
        except ssl.SSLError:
            self._events.count(build_sender("", opened.address), "tls-handshake-failed")
            raise
        return True

    # -------------------------------------------------------------------------- establishment

    def _read_request(
        self, connection: Connection, opened: OpenConnection
    ) -> AssociationRequest | None:
        """Return the association request, None if the peer makes none."""
        try:
            kind, length = PDU_HEADER.unpack(connection.read(PDU_HEADER.size))
        except ConnectionClosed:  # a health probe
            return None
        if kind != PduType.A_ASSOCIATE_RQ or length > MAX_REQUEST_BYTES:
            self._count_not_dicom(opened)
            return None
        try:
            return decode_request(connection.read_long(length))
        except ProtocolError:
            self._abort(connection, opened)
            return None

    def _establish(
        self,
        connection: Connection,
        opened: OpenConnection,
        request: AssociationRequest,
        subject: str,
    ) -> Association | None:
        sender = build_sender(request.calling_ae, opened.address)
        caller = Caller(sender, request.called_ae, subject)
        refusal = self._find_refusal(opened, request, caller)
        if refusal is not None:
            self._handlers.record_refusal(sender, refusal.code)
            connection.send(build_rejection(refusal.rejection))
            connection.wait_for_close()
            return None
        try:
            negotiation = self._negotiator.negotiate(request)
        except ProtocolError:
            self._abort(connection, opened)
            return None
        self._handlers.record_rejected_contexts(sender, negotiation.rejected)
        connection.send(negotiation.pdu)
        connection.set_idle_timeout(self._settings.dicom_network_timeout_seconds)
        return self._build_association(connection, caller, request, negotiation)

    def _find_refusal(
        self, opened: OpenConnection, request: AssociationRequest, caller: Caller
    ) -> AssociationRefusal | None:
        """Return why the association is refused, or count it and return None."""
        if not request.has_known_protocol_version:
            return AssociationRefusal(Rejection.PROTOCOL_VERSION_NOT_SUPPORTED, "protocol-version")
        refusal = self._handlers.find_refusal(caller)
        if refusal is not None:
            return refusal
        if self._stopping.is_set():
            return _STOPPING
        try:
            self._limits.admit(opened, caller.sender)
        except TooManyAssociations:
            return _TOO_MANY
        return None

    def _build_association(
        self,
        connection: Connection,
        caller: Caller,
        request: AssociationRequest,
        negotiation: Negotiation,
    ) -> Association:
        return Association(
            connection,
            caller,
            negotiation.accepted,
            self._handlers,
            max_pdu_bytes=self._settings.dicom_max_pdu_bytes,
            peer_max_pdu_bytes=request.max_pdu_bytes,
            message_seconds=self._settings.dicom_object_timeout_seconds,
        )

    def _abort(self, connection: Connection, opened: OpenConnection) -> None:
        """Abort before the association is established (PS3.8 9.2, action AA-1)."""
        if self._events.count(build_sender("", opened.address), "malformed-request"):
            logger.warning("%s: malformed association request", opened.address)
        connection.send(build_abort(AbortSource.SERVICE_USER, AbortReason.NOT_SPECIFIED))
        connection.wait_for_close()

    def _count_not_dicom(self, opened: OpenConnection) -> None:
        if self._events.count(build_sender("", opened.address), "not-dicom"):
            logger.info("%s: connection closed: no DICOM association request", opened.address)
