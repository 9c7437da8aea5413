"""Command sets beside those that pynetdicom encodes."""

import struct
from collections.abc import Callable
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import UltrasoundImageStorage
from pynetdicom.dimse_messages import C_ECHO_RQ, C_ECHO_RSP, C_STORE_RQ, C_STORE_RSP, DIMSEMessage
from pynetdicom.dimse_primitives import C_ECHO, C_STORE
from pynetdicom.dsutils import encode

from listener.command_set import CommandElement, CommandField, CommandSet, build_response
from listener.upper_layer import AbortReason, ProtocolError
from tests.listener.raw_peer import build_command

SOP_INSTANCE = "1.2.826.0.1.3680043.8.498.1"


def encode_command(message: DIMSEMessage, primitive: C_STORE | C_ECHO) -> bytes:
    message.primitive_to_message(primitive)
    encoded = encode(message.command_set, is_implicit_vr=True, is_little_endian=True)
    assert encoded is not None
    return encoded


def store_request() -> bytes:
    asked = C_STORE()
    asked.MessageID, asked.Priority = 7, 2
    asked.AffectedSOPClassUID = UltrasoundImageStorage
    asked.AffectedSOPInstanceUID = SOP_INSTANCE
    asked.DataSet = BytesIO(b"not read here")
    return encode_command(C_STORE_RQ(), asked)


def store_response(status: int, comment: str) -> bytes:
    answer = C_STORE()
    answer.MessageIDBeingRespondedTo = 7
    answer.AffectedSOPClassUID = UltrasoundImageStorage
    answer.AffectedSOPInstanceUID = SOP_INSTANCE
    answer.Status = status
    if comment:
        answer.ErrorComment = comment  # type: ignore[assignment]  # declared as None only
    return encode_command(C_STORE_RSP(), answer)


def echo_request() -> bytes:
    asked = C_ECHO()
    asked.MessageID = 9
    return encode_command(C_ECHO_RQ(), asked)


def echo_response() -> bytes:
    answer = C_ECHO()
    answer.MessageIDBeingRespondedTo, answer.Status = 9, 0
    return encode_command(C_ECHO_RSP(), answer)


def test_the_command_of_a_request_is_decoded() -> None:
    command = CommandSet.decode(store_request())
    assert (command.field, command.message_id) == (CommandField.C_STORE, 7)
    assert command.has_data_set
    assert command.get_uid(CommandElement.AFFECTED_SOP_CLASS_UID) == UltrasoundImageStorage
    assert command.get_uid(CommandElement.AFFECTED_SOP_INSTANCE_UID) == SOP_INSTANCE
    assert not CommandSet.decode(echo_request()).has_data_set


@pytest.mark.parametrize(
    ("request_bytes", "expected", "status", "comment"),
    [
        (store_request, store_response(0, ""), 0, ""),
        (store_request, store_response(0xA700, "Disk full"), 0xA700, "Disk full"),
        (store_request, store_response(0xA900, "even"), 0xA900, "even"),
        (echo_request, echo_response(), 0, ""),
    ],
)
def test_a_response_is_that_of_pynetdicom_byte_for_byte(
    request_bytes: Callable[[], bytes], expected: bytes, status: int, comment: str
) -> None:
    assert build_response(CommandSet.decode(request_bytes()), status, comment) == expected


def test_a_comment_fits_its_value_representation() -> None:
    response = build_response(CommandSet.decode(store_request()), 0xA700, "x" * 100)
    assert b"x" * 64 in response
    assert b"x" * 65 not in response


@pytest.mark.parametrize("uid", [b"1.2\n3", b"1" * 65, b"", b"\xff", b"abc"])
def test_what_is_no_uid_is_none(uid: bytes) -> None:
    elements: dict[int, bytes] = {
        CommandElement.COMMAND_FIELD: struct.pack("<H", CommandField.C_STORE),
        CommandElement.MESSAGE_ID: b"\1\0",
        CommandElement.COMMAND_DATA_SET_TYPE: b"\0\0",
        CommandElement.AFFECTED_SOP_INSTANCE_UID: uid,
    }
    command = CommandSet.decode(build_command(elements))
    assert command.get_uid(CommandElement.AFFECTED_SOP_INSTANCE_UID) == ""


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (b"", AbortReason.INVALID_PARAMETER_VALUE),
        (store_request()[:-1], AbortReason.INVALID_PARAMETER_VALUE),
        (b"\x08\x00\x18\x00\x02\x00\x00\x001\0", AbortReason.INVALID_PARAMETER_VALUE),
        (store_response(0, ""), AbortReason.UNEXPECTED_PARAMETER),
        (build_command({0x0100: b"\x77\x00"}), AbortReason.UNRECOGNIZED_PARAMETER),
        (build_command({0x0100: b"\x01\x00"}), AbortReason.INVALID_PARAMETER_VALUE),
    ],
    ids=["empty", "truncated", "other-group", "response", "unknown", "without-message-id"],
)
def test_what_is_no_request_is_a_protocol_error(command: bytes, reason: AbortReason) -> None:
    with pytest.raises(ProtocolError) as caught:
        CommandSet.decode(command)
    assert caught.value.reason is reason


@given(st.binary(max_size=200))
def test_any_bytes_are_a_command_or_a_protocol_error(data: bytes) -> None:
    try:
        command = CommandSet.decode(data)
    except ProtocolError:
        return
    assert build_response(command, 0)
