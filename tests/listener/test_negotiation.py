"""Negotiation beside pynetdicom's own acceptor: its A-ASSOCIATE-AC is the same byte for byte."""

from collections.abc import Iterator

import pytest
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    UltrasoundImageStorage,
    UltrasoundMultiFrameImageStorage,
)
from pynetdicom import build_role
from pynetdicom.ae import ApplicationEntity
from pynetdicom.pdu_primitives import (
    AsynchronousOperationsWindowNegotiation,
    SOPClassCommonExtendedNegotiation,
    SOPClassExtendedNegotiation,
    UserIdentityNegotiation,
)
from pynetdicom.presentation import PresentationContext, build_context

from dicom.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from listener.contexts import STORAGE_CLASSES, STORAGE_COMMITMENT, TRANSFER_SYNTAXES, VERIFICATION
from listener.negotiation import (
    Negotiator,
    UserInformation,
    build_supported_contexts,
    decode_request,
)
from listener.upper_layer import ProtocolError
from tests.listener.raw_peer import build_request, connect

MAX_PDU_BYTES = 131_072


@pytest.fixture(scope="module")
def oracle() -> Iterator[int]:
    """The port of pynetdicom's acceptor with the contexts of the listener."""
    entity = ApplicationEntity("SONOGATE")
    entity.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    entity.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    entity.maximum_pdu_size = MAX_PDU_BYTES
    for supported in build_supported_contexts():
        assert supported.abstract_syntax is not None
        entity.add_supported_context(
            supported.abstract_syntax,
            list(supported.transfer_syntax),
            scu_role=supported.scu_role,
            scp_role=supported.scp_role,
        )
    server = entity.start_server(("127.0.0.1", 0), block=False)
    assert server is not None
    yield int(server.server_address[1])
    server.shutdown()


def context(abstract_syntax: str, *transfer_syntaxes: str) -> PresentationContext:
    return build_context(abstract_syntax, list(transfer_syntaxes) or None)


def identity(kind: int) -> UserIdentityNegotiation:
    item = UserIdentityNegotiation()
    item.user_identity_type, item.primary_field = kind, b"user"
    item.positive_response_requested = True
    if kind == 2:
        item.secondary_field = b"password"
    return item


def asynchronous_operations() -> AsynchronousOperationsWindowNegotiation:
    item = AsynchronousOperationsWindowNegotiation()
    item.maximum_number_operations_invoked = item.maximum_number_operations_performed = 0
    return item


def extended() -> SOPClassExtendedNegotiation:
    item = SOPClassExtendedNegotiation()
    item.sop_class_uid = UltrasoundImageStorage
    item.service_class_application_information = b"\2\0\3\0\1\0"
    return item


def common_extended() -> SOPClassCommonExtendedNegotiation:
    item = SOPClassCommonExtendedNegotiation()
    item.sop_class_uid, item.service_class_uid = UltrasoundImageStorage, "1.2.840.10008.4.2"
    return item


ULTRASOUND = (UltrasoundImageStorage, ExplicitVRLittleEndian)
PRIVATE_SYNTAX = "1.2.840.113619.5.2"
CONTEXTS = {
    "verification": [context(VERIFICATION)],
    "one-image": [context(*ULTRASOUND)],
    "every-transfer-syntax": [context(UltrasoundImageStorage, *reversed(TRANSFER_SYNTAXES))],
    "every-class": [context(c, *TRANSFER_SYNTAXES) for c in STORAGE_CLASSES],
    "one-class-in-several-contexts": [
        context(UltrasoundImageStorage, syntax) for syntax in TRANSFER_SYNTAXES[:20]
    ],
    "unknown-class": [context(CTImageStorage), context(*ULTRASOUND)],
    "unknown-syntax": [context(UltrasoundImageStorage, PRIVATE_SYNTAX), context(VERIFICATION)],
    "nothing-acceptable": [context(CTImageStorage, JPEGBaseline8Bit)],
    "rejected-between-accepted": [
        context(UltrasoundImageStorage, JPEGBaseline8Bit, ImplicitVRLittleEndian),
        context("1.2.3.4.5"),
        context(UltrasoundMultiFrameImageStorage, ExplicitVRLittleEndian),
    ],
    "commitment": [context(STORAGE_COMMITMENT), context(*ULTRASOUND)],
    "128-contexts": [context(*ULTRASOUND)] * 128,
}
ITEMS: dict[str, list[UserInformation]] = {
    "no-item": [],
    "asynchronous-operations": [asynchronous_operations()],
    "extended": [extended(), common_extended()],
    **{f"user-identity-{kind}": [identity(kind)] for kind in (1, 2, 3, 4)},
    **{
        f"role-{sop_class[-4:]}-{scu}-{scp}": [build_role(sop_class, scu_role=scu, scp_role=scp)]
        for sop_class in (STORAGE_COMMITMENT, UltrasoundImageStorage)
        for scu, scp in ((True, True), (True, False), (False, True))
    },
}


def read_oracle(port: int, request: bytes) -> tuple[int, bytes]:
    with connect(port) as peer:
        peer.send(request)
        return peer.read_pdu()


def assert_equal(port: int, request: bytes) -> None:
    negotiation = Negotiator(MAX_PDU_BYTES).negotiate(decode_request(request[6:]))
    kind, content = read_oracle(port, request)
    assert (negotiation.pdu[0], negotiation.pdu[6:]) == (kind, content)


def copies(contexts: list[PresentationContext]) -> list[PresentationContext]:
    return [context(str(c.abstract_syntax), *map(str, c.transfer_syntax)) for c in contexts]


@pytest.mark.parametrize("name", CONTEXTS)
def test_contexts_are_negotiated_as_pynetdicom_does(oracle: int, name: str) -> None:
    assert_equal(oracle, build_request(copies(CONTEXTS[name])))


@pytest.mark.parametrize("name", ITEMS)
@pytest.mark.parametrize("contexts", ["commitment", "one-image"])
def test_user_information_is_answered_as_pynetdicom_does(
    oracle: int, name: str, contexts: str
) -> None:
    assert_equal(oracle, build_request(copies(CONTEXTS[contexts]), items=ITEMS[name]))


@pytest.mark.parametrize("called", ["SONOGATE", "A", "SIXTEEN LETTERS!"])
def test_ae_titles_are_repeated_as_pynetdicom_does(oracle: int, called: str) -> None:
    assert_equal(oracle, build_request(called=called, ae_title="  PADDED"))


def test_the_contexts_of_the_answer_are_those_of_the_negotiation() -> None:
    proposed = copies(CONTEXTS["rejected-between-accepted"])
    negotiation = Negotiator(MAX_PDU_BYTES).negotiate(decode_request(build_request(proposed)[6:]))
    assert {number: c.transfer_syntax for number, c in negotiation.accepted.items()} == {
        1: ImplicitVRLittleEndian,
        5: ExplicitVRLittleEndian,
    }
    assert [c.abstract_syntax for c in negotiation.rejected] == ["1.2.3.4.5"]


@pytest.mark.parametrize("cut", [10, 60, 74, 80, 100, 150])
def test_a_truncated_request_is_a_protocol_error_or_lacks_items(cut: int) -> None:
    """Never another error."""
    body = build_request()[6:]
    try:
        Negotiator(MAX_PDU_BYTES).negotiate(decode_request(body[:cut]))
    except ProtocolError:
        return


@pytest.mark.parametrize(
    ("length", "limit"), [(16_382, 16_382), (0, 131_072), (2**32 - 1, 131_072)]
)
def test_responses_keep_to_the_length_that_the_requestor_accepts(length: int, limit: int) -> None:
    request = decode_request(build_request(max_pdu_bytes=length)[6:])
    assert request.max_pdu_bytes == limit
