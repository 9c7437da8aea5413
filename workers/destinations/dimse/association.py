"""Associations that Sonogate requests (PS3.8)."""

import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from pynetdicom import AE, _config, evt
from pynetdicom.association import Association
from pynetdicom.pdu import A_ASSOCIATE_RJ
from pynetdicom.pdu_primitives import SCP_SCU_RoleSelectionNegotiation
from pynetdicom.presentation import PresentationContext
from pynetdicom.transport import AddressInformation, AssociationSocket

from dicom.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from workers.errors import PeerError, ServiceNotOffered

_MAX_PDU_BYTES: Final = 131_072
# By source and reason of an A-ASSOCIATE-RJ PDU (PS3.8 9.3.4).
_REJECTIONS: Final = {
    (1, 2): "application context name not supported",
    (1, 3): "calling AE title {calling!r} not recognized; register it at the peer",
    (1, 7): "called AE title {called!r} not recognized; correct the destination in the routes file",
    (2, 2): "protocol version not supported",
    (3, 1): "temporary congestion",
    (3, 2): "local limit of associations exceeded",
}
TlsArguments = tuple[ssl.SSLContext, str]


@dataclass(frozen=True)
class Peer:
    """An application entity that accepts associations."""

    ae_title: str
    host: str
    port: int


class _RequestingAE(AE):
    """An AE that sets TCP_NODELAY, and closes its socket when the connection fails. pynetdicom
    leaves that socket to the garbage collector.
    """

    opened: socket.socket | None = None

    def _create_socket(
        self, assoc: Association, address: AddressInformation, tls_args: TlsArguments | None
    ) -> AssociationSocket:
        transport = super()._create_socket(assoc, address, tls_args)
        self.opened = transport.socket
        if self.opened is not None:
            # Otherwise each response waits some 40 ms for a delayed acknowledgment.
            self.opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return transport

    def close(self) -> None:
        if self.opened is not None:
            self.opened.close()


@dataclass
class _Negotiation:
    """What pynetdicom reports while an association is being established."""

    connected: bool = False
    rejection: A_ASSOCIATE_RJ | None = None

    def handlers(self) -> list[evt.EventHandlerType]:
        def on_open(_event: evt.Event) -> None:
            self.connected = True

        def on_pdu(event: evt.Event) -> None:
            # pynetdicom 3.0 takes a rejection that arrives at once for a failure to connect.
            if isinstance(event.pdu, A_ASSOCIATE_RJ):
                self.rejection = event.pdu

        return [(evt.EVT_CONN_OPEN, on_open), (evt.EVT_PDU_RECV, on_pdu)]


@dataclass(frozen=True)
class AssociationRequestor:
    """Requests associations with one peer."""

    peer: Peer
    calling_ae: str
    connect_timeout_seconds: float = 10.0
    """Timeout for the TCP connection, and then for the association."""
    response_timeout_seconds: float = 60.0
    """Timeout for the response to one DIMSE request."""

    @contextmanager
    def associate(
        self,
        contexts: list[PresentationContext],
        roles: Sequence[SCP_SCU_RoleSelectionNegotiation] = (),
        handlers: Sequence[evt.EventHandlerType] = (),
    ) -> Iterator[Association]:
        """Establish an association, and release it at the end.

        Raises:
            PeerError: the peer cannot be reached or rejects the association.
            ServiceNotOffered: it accepts none of the presentation contexts.
        """
        # Send files in chunks without parsing them: what is sent is what was verified.
        _config.STORE_SEND_CHUNKED_DATASET = True
        ae, negotiation = self._application_entity(), _Negotiation()
        try:
            association = ae.associate(
                self.peer.host,
                self.peer.port,
                contexts=contexts,
                ae_title=self.peer.ae_title,
                max_pdu=_MAX_PDU_BYTES,
                ext_neg=list(roles),
                evt_handlers=[*negotiation.handlers(), *handlers],
            )
        except OSError as error:  # the host name does not resolve
            raise self._unreachable() from error
        if not association.is_established:
            if not negotiation.connected:
                ae.close()
            raise self._failure(negotiation, association)
        try:
            yield association
        finally:
            if association.is_established:
                association.release()

    def _application_entity(self) -> _RequestingAE:
        ae = _RequestingAE(ae_title=self.calling_ae)
        ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
        ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
        ae.connection_timeout = ae.acse_timeout = self.connect_timeout_seconds
        ae.dimse_timeout = ae.network_timeout = self.response_timeout_seconds
        return ae

    def _failure(self, negotiation: _Negotiation, association: Association) -> PeerError:
        """Return why there is no association. No reason is permanent, not even a rejection that
        DICOM calls permanent.

        Peers send that for an AE title which is not registered yet. Deliveries must not need a
        manual retry each after it is. The same holds for rejected presentation contexts and for
        status 0124.
        """
        if rejection := negotiation.rejection:
            reason = (rejection.source or 0, rejection.reason_diagnostic or 0)
            text = _REJECTIONS.get(reason, "no reason given")
            text = text.format(calling=self.calling_ae, called=self.peer.ae_title)
            return PeerError(f"the peer rejected the association: {text}", permanent=False)
        if not negotiation.connected:
            return self._unreachable()
        if association.rejected_contexts:
            return ServiceNotOffered()
        return PeerError("the peer did not answer the association request", permanent=False)

    def _unreachable(self) -> PeerError:
        address = f"{self.peer.host}:{self.peer.port}"
        return PeerError(f"cannot connect to {address}; is the PACS running?", permanent=False)
