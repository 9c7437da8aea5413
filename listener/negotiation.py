"""Association negotiation with pynetdicom's codecs (PS3.8 9.3.2, 9.3.3; PS3.7 Annex D)."""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from pydicom.uid import UID
from pynetdicom import _globals
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    AsynchronousOperationsWindowNegotiation,
    ImplementationClassUIDNotification,
    ImplementationVersionNameNotification,
    MaximumLengthNotification,
    SCP_SCU_RoleSelectionNegotiation,
    SOPClassCommonExtendedNegotiation,
    SOPClassExtendedNegotiation,
    UserIdentityNegotiation,
)
from pynetdicom.presentation import PresentationContext, build_context, negotiate_as_acceptor

from dicom.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from listener.contexts import (
    STORAGE_CLASSES,
    STORAGE_COMMITMENT,
    TRANSFER_SYNTAXES,
    VERIFICATION,
)
from listener.upper_layer import PDU_HEADER, AbortReason, PduType, ProtocolError

MAX_REQUEST_BYTES: Final = 1 << 20
"""128 contexts with all transfer syntaxes have 200 kB."""
_MAX_ITEMS: Final = 10_000
"""Items of a request, which pynetdicom takes some 20 µs each to decode."""
_PROTOCOL_VERSION_1: Final = 1
_VARIABLE_ITEMS_START: Final = 68
_PRESENTATION_CONTEXT: Final = 0x20
_USER_INFORMATION: Final = 0x50
_CONTEXT_ID_BYTES: Final = 4
_ITEM_HEADER: Final = struct.Struct(">BxH")
_ACCEPTED: Final = 0
_NO_LIMIT: Final = 0  # PS3.8 D.1: maximum length 0
_LONGEST_PDU: Final = 1 << 17

UserInformation = (
    MaximumLengthNotification
    | ImplementationClassUIDNotification
    | ImplementationVersionNameNotification
    | AsynchronousOperationsWindowNegotiation
    | SCP_SCU_RoleSelectionNegotiation
    | SOPClassExtendedNegotiation
    | SOPClassCommonExtendedNegotiation
    | UserIdentityNegotiation
)


@dataclass(frozen=True)
class AssociationRequest:
    """What an A-ASSOCIATE-RQ says about its sender, and pynetdicom's primitive of it."""

    calling_ae: str
    called_ae: str
    protocol_version: int
    primitive: A_ASSOCIATE

    @property
    def has_known_protocol_version(self) -> bool:
        """Whether bit 0 is set, the only one that is to be tested (PS3.8 table 9-11)."""
        return bool(self.protocol_version & _PROTOCOL_VERSION_1)

    @property
    def max_pdu_bytes(self) -> int:
        """The longest P-DATA-TF, without its header, that the requestor accepts (PS3.8 D.1)."""
        length = self.primitive.maximum_length_received
        return _LONGEST_PDU if length in (None, _NO_LIMIT) else min(length, _LONGEST_PDU)


@dataclass(frozen=True)
class AcceptedContext:
    """An accepted presentation context."""

    context_id: int
    abstract_syntax: str
    transfer_syntax: str


@dataclass(frozen=True)
class Negotiation:
    """The outcome of a negotiation: its contexts and the A-ASSOCIATE-AC PDU."""

    accepted: dict[int, AcceptedContext]
    rejected: Sequence[PresentationContext]
    pdu: bytes


def decode_request(body: bytes) -> AssociationRequest:
    """Decode an A-ASSOCIATE-RQ without its PDU header.

    Raises:
        ProtocolError: It is malformed.
    """
    _check_number_of_items(body)
    request = A_ASSOCIATE_RQ()
    try:
        request.decode(PDU_HEADER.pack(PduType.A_ASSOCIATE_RQ, len(body)) + body)
        primitive = request.to_primitive()
    except Exception:  # noqa: BLE001  pynetdicom raises errors of any type for malformed bytes
        raise ProtocolError(
            "a malformed A-ASSOCIATE-RQ", AbortReason.INVALID_PARAMETER_VALUE
        ) from None
    return AssociationRequest(
        primitive.calling_ae_title, primitive.called_ae_title, request.protocol_version, primitive
    )


def _check_number_of_items(body: bytes) -> None:
    """Raise ProtocolError for a request that would take seconds to decode."""
    count = sum(
        1 + sum(1 for _ in _list_items(body, start + skipped, end))
        for start, end, skipped in _list_items(body, _VARIABLE_ITEMS_START, len(body))
    )
    if count > _MAX_ITEMS:
        raise ProtocolError(
            "an A-ASSOCIATE-RQ with too many items", AbortReason.INVALID_PARAMETER_VALUE
        )


def _list_items(body: bytes, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield start and end of each item's content, and how many bytes its sub-items follow.

    Items of other types than presentation contexts and user information have no sub-items.
    """
    while start + _ITEM_HEADER.size <= end:
        kind, length = _ITEM_HEADER.unpack_from(body, start)
        start += _ITEM_HEADER.size
        skipped = {_PRESENTATION_CONTEXT: _CONTEXT_ID_BYTES, _USER_INFORMATION: 0}
        yield start, min(start + length, end), skipped.get(kind, length)
        start += length


class Negotiator:
    """Negotiates as the acceptor: all classes and transfer syntaxes of `listener.contexts`."""

    def __init__(self, max_pdu_bytes: int) -> None:
        self._max_pdu_bytes = max_pdu_bytes
        self._supported = build_supported_contexts()

    def negotiate(self, request: AssociationRequest) -> Negotiation:
        """Accept a request.

        User identity, asynchronous operations and extended negotiation get no item in the answer,
        which refuses them.

        Raises:
            ProtocolError: The request contains values that cannot be answered.
        """
        try:
            return self._negotiate(request)
        except Exception:  # noqa: BLE001  as in `decode_request`
            raise ProtocolError(
                "an A-ASSOCIATE-RQ with invalid values", AbortReason.INVALID_PARAMETER_VALUE
            ) from None

    def _negotiate(self, request: AssociationRequest) -> Negotiation:
        asked = request.primitive
        roles = {
            item.sop_class_uid: (item.scu_role, item.scp_role)
            for item in asked.user_information
            if isinstance(item, SCP_SCU_RoleSelectionNegotiation) and item.sop_class_uid
        }
        contexts, accepted_roles = negotiate_as_acceptor(
            asked.presentation_context_definition_list, self._supported, roles
        )
        accepted = {
            context.context_id: context
            for context in contexts
            if context.result == _ACCEPTED and context.context_id
        }
        rejected = [context for context in contexts if context.result != _ACCEPTED]
        answer = A_ASSOCIATE()
        answer.application_context_name = UID(_globals.APPLICATION_CONTEXT_NAME)
        answer.calling_ae_title = asked.calling_ae_title
        answer.called_ae_title = asked.called_ae_title
        answer.result, answer.result_source = _ACCEPTED, 1
        answer.presentation_context_definition_results_list = [*accepted.values(), *rejected]
        answer.user_information = [*self._build_user_information(), *accepted_roles]
        pdu = A_ASSOCIATE_AC()
        pdu.from_primitive(answer)
        return Negotiation(
            {number: _to_accepted(context) for number, context in accepted.items()},
            rejected,
            pdu.encode(),
        )

    def _build_user_information(self) -> list[UserInformation]:
        length = MaximumLengthNotification()
        length.maximum_length_received = self._max_pdu_bytes
        implementation = ImplementationClassUIDNotification()
        implementation.implementation_class_uid = UID(IMPLEMENTATION_CLASS_UID)
        version = ImplementationVersionNameNotification()
        version.implementation_version_name = IMPLEMENTATION_VERSION_NAME
        return [length, implementation, version]


def build_supported_contexts() -> list[PresentationContext]:
    """Return the contexts that the listener supports, with its roles."""
    commitment = build_context(STORAGE_COMMITMENT)
    # the roles are those of the requestor: the reporting PACS is the SCP (PS3.7 D.3.3.4)
    commitment.scu_role, commitment.scp_role = False, True
    storage = [build_context(sop_class, list(TRANSFER_SYNTAXES)) for sop_class in STORAGE_CLASSES]
    return [build_context(VERIFICATION), commitment, *storage]


def _to_accepted(context: PresentationContext) -> AcceptedContext:
    assert context.context_id is not None
    return AcceptedContext(
        context.context_id, str(context.abstract_syntax), str(context.transfer_syntax[0])
    )
