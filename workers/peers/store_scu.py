"""C-STORE and C-ECHO to a peer, and what its answers mean. No rows, no queue, no TensorFlow."""

import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pynetdicom import AE, _config, build_context, evt
from pynetdicom.association import Association
from pynetdicom.pdu import A_ASSOCIATE_RJ
from pynetdicom.pdu_primitives import SCP_SCU_RoleSelectionNegotiation
from pynetdicom.presentation import PresentationContext
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # made at run time
from pynetdicom.transport import AddressInformation, AssociationSocket

from dicom.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from workers.errors import PeerError, ServiceNotOffered

CONNECT_SECONDS: Final = 10.0
ANSWER_SECONDS: Final = 60.0
TlsArguments = tuple[ssl.SSLContext, str]
_PDU_BYTES: Final = 131_072
_PATIENCE: Final = 10
"""After so many times the longest wait for an answer, no further association is begun."""

# Source and reason of a rejection (PS3.8 9.3.4); without a text here it gave no reason.
_REJECT_TEXTS: Final = {
    (1, 2): "it does not support DICOM's application context",
    (1, 3): "it does not know our AE title {calling!r}; have it registered there",
    (1, 7): "its AE title is not {called!r}; correct the destination in the routes file",
    (2, 2): "it speaks another version of the protocol",
    (3, 1): "it is congested",
    (3, 2): "it serves as many associations as it can",
}
# C-STORE statuses (PS3.4 B.2.3) and those of DIMSE itself (PS3.7 C).
_ACCEPTED: Final = frozenset(
    {
        0x0000,
        0x0001,
        0x0107,
        # Our UIDs follow from the analysis: a PACS that has one already has this very object.
        0x0111,
    }
)
_PERMANENT: Final = frozenset({0x0105, 0x0106, 0x0117, 0x0122})
_STATUS_TEXTS: Final = {
    0xA7: "out of resources",
    0xA9: "the object does not match its SOP class",
    0x0110: "processing failure",
    0x0122: "it does not store this SOP class",
    0x0124: "we are not authorized there",
}

_BROKE_OFF: Final = "not sent: the connection broke off"
_NO_ANSWER: Final = "no answer: the peer timed out or broke off"
_BROKEN: Final = frozenset({_BROKE_OFF, _NO_ANSWER})
"""Nothing more can be sent over the association."""


@dataclass(frozen=True)
class Peer:
    """A DICOM node that takes associations."""

    ae_title: str
    host: str
    port: int


@dataclass(frozen=True)
class SendOutcome:
    """What became of one file. ``status`` is the peer's answer, None when there was none."""

    path: Path
    status: int | None
    problem: str = ""
    permanent: bool = False
    """Sending the same bytes again cannot help."""

    @property
    def accepted(self) -> bool:
        return not self.problem


def echo(
    peer: Peer,
    *,
    calling_ae: str,
    connect_seconds: float = CONNECT_SECONDS,
    answer_seconds: float = ANSWER_SECONDS,
) -> None:
    """C-ECHO. Raises PeerError, which says what is wrong and what to do."""
    call = Call(peer, calling_ae, connect_seconds, answer_seconds)
    with call.associated([build_context(Verification)]) as association:
        status = association.send_c_echo().get("Status")
        if status != 0:
            raise PeerError("the peer did not answer C-ECHO with success", permanent=False)


def send(
    paths: Sequence[Path],
    peer: Peer,
    *,
    calling_ae: str,
    connect_seconds: float = CONNECT_SECONDS,
    answer_seconds: float = ANSWER_SECONDS,
) -> list[SendOutcome]:
    """C-STORE the DICOM files, byte for byte as they are, over one association.

    An object that the peer refuses, and a file that cannot be sent, do not stop the others. Nor
    does an object at which the association breaks: those not offered yet go over a further one.
    What got no answer has the status None.

    Raises:
        PeerError: no association came about.
    """
    looked = [_look(path) for path in paths]
    pieces = [one for one in looked if isinstance(one, _Piece)]
    call = Call(peer, calling_ae, connect_seconds, answer_seconds)
    sent = iter(_send_all(call, pieces))
    return [next(sent) if isinstance(one, _Piece) else one for one in looked]


def is_accepted(status: int) -> bool:
    """Whether the peer has taken the object: success or warning (PS3.4 B.2.3)."""
    return status in _ACCEPTED or status >> 12 == 0xB


def answer(path: Path, status: int) -> SendOutcome:
    """Judge a C-STORE status."""
    if is_accepted(status):
        return SendOutcome(path, status)
    permanent = status in _PERMANENT or status >> 8 == 0xA9 or status >> 12 == 0xC
    what = _STATUS_TEXTS.get(status) or _STATUS_TEXTS.get(status >> 8, "it cannot take the object")
    return SendOutcome(path, status, f"refused with status 0x{status:04X}: {what}", permanent)


class _Caller(AE):
    """An AE that closes its socket when the connection fails; pynetdicom leaves that to chance."""

    opened: socket.socket | None = None

    def _create_socket(
        self, assoc: Association, address: AddressInformation, tls_args: TlsArguments | None
    ) -> AssociationSocket:
        transport = super()._create_socket(assoc, address, tls_args)
        self.opened = transport.socket
        if self.opened is not None:
            # Without it each answer waits some 40 ms for a delayed acknowledgement.
            self.opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return transport

    def close(self) -> None:
        if self.opened is not None:
            self.opened.close()


@dataclass
class Call:
    """How a peer is called, one association at a time."""

    peer: Peer
    calling_ae: str
    connect_seconds: float
    answer_seconds: float
    connected: bool = False
    rejection: A_ASSOCIATE_RJ | None = None

    @contextmanager
    def associated(
        self,
        contexts: list[PresentationContext],
        roles: Sequence[SCP_SCU_RoleSelectionNegotiation] = (),
        handlers: Sequence[evt.EventHandlerType] = (),
    ) -> Iterator[Association]:
        """Raises PeerError when the peer cannot be reached or does not want us."""
        self.connected, self.rejection = False, None
        caller = self._caller()
        association = self._request(caller, contexts, roles, handlers)
        if not association.is_established:
            if not self.connected:
                caller.close()
            raise self._problem(association)
        try:
            yield association
        finally:
            if association.is_established:
                association.release()

    def _caller(self) -> _Caller:
        caller = _Caller(ae_title=self.calling_ae)
        caller.implementation_class_uid = IMPLEMENTATION_CLASS_UID
        caller.implementation_version_name = IMPLEMENTATION_VERSION_NAME
        caller.connection_timeout = caller.acse_timeout = self.connect_seconds
        caller.dimse_timeout = caller.network_timeout = self.answer_seconds
        return caller

    def _request(
        self,
        caller: _Caller,
        contexts: list[PresentationContext],
        roles: Sequence[SCP_SCU_RoleSelectionNegotiation],
        handlers: Sequence[evt.EventHandlerType],
    ) -> Association:
        # From the file to the socket: the object is not parsed, so what leaves is what was checked.
        _config.STORE_SEND_CHUNKED_DATASET = True
        try:
            return caller.associate(
                self.peer.host,
                self.peer.port,
                contexts=contexts,
                ae_title=self.peer.ae_title,
                max_pdu=_PDU_BYTES,
                ext_neg=list(roles),
                evt_handlers=[
                    (evt.EVT_CONN_OPEN, self._on_open),
                    (evt.EVT_PDU_RECV, self._on_pdu),
                    *handlers,
                ],
            )
        except OSError as error:  # the name does not resolve
            raise self._absent() from error

    def _on_open(self, _event: evt.Event) -> None:
        self.connected = True

    def _on_pdu(self, event: evt.Event) -> None:
        # A rejection that comes at once is taken by pynetdicom 3.0 for a failure to connect.
        if isinstance(event.pdu, A_ASSOCIATE_RJ):
            self.rejection = event.pdu

    def _problem(self, association: Association) -> PeerError:
        if self.rejection is not None:
            return self._rejected(self.rejection)
        if not self.connected:
            return self._absent()
        if association.rejected_contexts:
            return ServiceNotOffered()
        return PeerError("the peer broke off before the association began", permanent=False)

    def _absent(self) -> PeerError:
        where = f"{self.peer.host}:{self.peer.port}"
        return PeerError(f"nothing answers at {where}; is the PACS running?", permanent=False)

    def _rejected(self, said: A_ASSOCIATE_RJ) -> PeerError:
        """Never for good, whatever the peer says: an AE title is registered there in the end, and
        what waits then must not have to be sent by hand, study by study. So it is with contexts
        that it does not accept, and with status 0124.
        """
        text = _REJECT_TEXTS.get((said.source or 0, said.reason_diagnostic or 0))
        text = (text or "it gave no reason").format(
            calling=self.calling_ae, called=self.peer.ae_title
        )
        return PeerError(f"the peer rejected the association: {text}", permanent=False)


@dataclass(frozen=True)
class _Piece:
    """A file that can be sent, and what its presentation context says."""

    path: Path
    sop_class: str
    transfer_syntax: str


def _send_all(call: Call, pieces: Sequence[_Piece]) -> list[SendOutcome]:
    """A peer that aborts at one object, and would at each attempt, must not miss the others."""
    outcomes: list[SendOutcome] = []
    until = time.monotonic() + _PATIENCE * call.answer_seconds
    while len(outcomes) < len(pieces):
        left = pieces[len(outcomes) :]
        if outcomes and time.monotonic() > until:
            return outcomes + _unsent(left, "the peer took too long over the others")
        try:
            outcomes += _send_over_one(call, left)
        except PeerError as problem:
            if not outcomes:
                raise
            return outcomes + _unsent(left, str(problem))
    return outcomes


def _send_over_one(call: Call, pieces: Sequence[_Piece]) -> list[SendOutcome]:
    """What became of the first of the pieces, and of the others for as long as it lasts."""
    # One presentation context per pair: with several syntaxes in one, the peer picks one of them
    # and everything in the others can no longer be sent.
    contexts = sorted({(piece.sop_class, piece.transfer_syntax) for piece in pieces})
    outcomes: list[SendOutcome] = []
    with call.associated([build_context(*context) for context in contexts]) as association:
        for number, piece in enumerate(pieces, start=1):
            if outcomes and not association.is_established:
                break
            outcomes.append(_send_one(association, piece.path, number))
            if outcomes[-1].problem in _BROKEN:
                association.join(call.connect_seconds)  # pynetdicom notices a moment later
                break
    return outcomes


def _send_one(association: Association, path: Path, number: int) -> SendOutcome:
    try:
        # Message IDs are 16 bits (PS3.7 E.1) and only one request is open at a time.
        status = association.send_c_store(path, msg_id=(number - 1) % 0xFFFF + 1).get("Status")
    except ValueError:  # pynetdicom found no accepted presentation context
        return SendOutcome(
            path, None, "the peer takes neither this kind of object nor its transfer syntax"
        )
    except (OSError, RuntimeError) as error:
        if isinstance(error, OSError) and error.filename:  # sockets have none
            return _unreadable(path, error)
        return SendOutcome(path, None, _BROKE_OFF)
    if status is None:
        return SendOutcome(path, None, _NO_ANSWER)
    return answer(path, int(status))


def _unsent(pieces: Sequence[_Piece], why: str) -> list[SendOutcome]:
    return [SendOutcome(piece.path, None, f"not sent: {why}") for piece in pieces]


def _unreadable(path: Path, error: OSError) -> SendOutcome:
    """Our fault, not the peer's, and not for good: a disk that went away comes back."""
    return SendOutcome(path, None, f"our file cannot be read: {error.strerror}")


def _look(path: Path) -> _Piece | SendOutcome:
    """Out of the file meta group."""
    try:
        meta = read_file_meta_info(path)
        sop_class, _ = str(meta.MediaStorageSOPClassUID), meta.MediaStorageSOPInstanceUID
        return _Piece(path, sop_class, str(meta.TransferSyntaxUID))
    except OSError as error:
        if error.errno is not None:  # the disk's own; pydicom's, without a number, is an early end
            return _unreadable(path, error)
        return _not_dicom(path)
    except (InvalidDicomError, AttributeError, ValueError, EOFError):
        return _not_dicom(path)


def _not_dicom(path: Path) -> SendOutcome:
    return SendOutcome(path, None, "not a DICOM file that can be sent", permanent=True)
