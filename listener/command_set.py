"""Command sets of DIMSE messages (PS3.7 6.3.1): group 0000 in Implicit VR Little Endian."""

import enum
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from listener.upper_layer import AbortReason, ProtocolError

MAX_COMMAND_BYTES: Final = 1 << 16
"""Far more than any command of PS3.7 needs; those without Attribute Identifier List have 400."""
_ELEMENT: Final = struct.Struct("<HHL")
_NO_DATA_SET: Final = 0x0101
_RESPONSE: Final = 0x8000
_MAX_UID_BYTES: Final = 64
_MAX_COMMENT_LENGTH: Final = 64  # VR LO
_UID: Final = re.compile(r"[0-9.]{1,64}")


class CommandElement(enum.IntEnum):
    """Element numbers in group 0000 (PS3.7 E.1)."""

    GROUP_LENGTH = 0x0000
    AFFECTED_SOP_CLASS_UID = 0x0002
    REQUESTED_SOP_CLASS_UID = 0x0003
    COMMAND_FIELD = 0x0100
    MESSAGE_ID = 0x0110
    MESSAGE_ID_BEING_RESPONDED_TO = 0x0120
    COMMAND_DATA_SET_TYPE = 0x0800
    STATUS = 0x0900
    ERROR_COMMENT = 0x0902
    AFFECTED_SOP_INSTANCE_UID = 0x1000


class CommandField(enum.IntEnum):
    """Requests (PS3.7 E.1.1)."""

    C_STORE = 0x0001
    C_GET = 0x0010
    C_FIND = 0x0020
    C_MOVE = 0x0021
    C_ECHO = 0x0030
    N_EVENT_REPORT = 0x0100
    N_GET = 0x0110
    N_SET = 0x0120
    N_ACTION = 0x0130
    N_CREATE = 0x0140
    N_DELETE = 0x0150
    C_CANCEL = 0x0FFF


@dataclass(frozen=True)
class CommandSet:
    """The command of a request: its elements and what every request has."""

    encoded: bytes
    elements: Mapping[int, bytes]
    field: CommandField
    message_id: int
    has_data_set: bool

    @classmethod
    def decode(cls, encoded: bytes) -> Self:
        """Read the command of a request.

        Raises:
            ProtocolError: The bytes are no command set, or it is not that of a request.
        """
        elements = _read_elements(encoded)
        number = _read_number(elements, CommandElement.COMMAND_FIELD)
        if number & _RESPONSE:
            raise ProtocolError("a response without a request", AbortReason.UNEXPECTED_PARAMETER)
        try:
            field = CommandField(number)
        except ValueError:
            raise ProtocolError("an unknown command", AbortReason.UNRECOGNIZED_PARAMETER) from None
        id_of_request = (
            CommandElement.MESSAGE_ID_BEING_RESPONDED_TO  # C-CANCEL (PS3.7 9.3.2.3)
            if field is CommandField.C_CANCEL
            else CommandElement.MESSAGE_ID
        )
        return cls(
            encoded,
            elements,
            field,
            _read_number(elements, id_of_request),
            _read_number(elements, CommandElement.COMMAND_DATA_SET_TYPE) != _NO_DATA_SET,
        )

    def get_uid(self, element: CommandElement) -> str:
        """Return a UID without its padding; empty if it is missing or not a UID."""
        text = self.elements.get(element, b"").decode("ascii", "replace").strip("\0 ")
        return text if _UID.fullmatch(text) else ""


def build_response(request: CommandSet, status: int, error_comment: str = "") -> bytes:
    """Return the command of a DIMSE-C response without a data set (PS3.7 9.3.1.2, 9.3.5.2)."""
    sop_class = _get_affected(request, CommandElement.AFFECTED_SOP_CLASS_UID)
    if not sop_class:
        sop_class = _get_affected(request, CommandElement.REQUESTED_SOP_CLASS_UID)
    comment = error_comment[:_MAX_COMMENT_LENGTH].encode("ascii", "replace")
    elements = {
        CommandElement.AFFECTED_SOP_CLASS_UID: sop_class,
        CommandElement.COMMAND_FIELD: _encode_number(request.field | _RESPONSE),
        CommandElement.MESSAGE_ID_BEING_RESPONDED_TO: _encode_number(request.message_id),
        CommandElement.COMMAND_DATA_SET_TYPE: _encode_number(_NO_DATA_SET),
        CommandElement.STATUS: _encode_number(status),
        CommandElement.ERROR_COMMENT: comment + b" " * (len(comment) % 2),
        CommandElement.AFFECTED_SOP_INSTANCE_UID: _get_affected(
            request, CommandElement.AFFECTED_SOP_INSTANCE_UID
        ),
    }
    group = b"".join(_encode_element(number, value) for number, value in elements.items() if value)
    return _encode_element(CommandElement.GROUP_LENGTH, struct.pack("<L", len(group))) + group


def _get_affected(request: CommandSet, element: CommandElement) -> bytes:
    """Return a UID as the request encodes it; empty if it is too long for one."""
    value = request.elements.get(element, b"")
    return value if len(value) <= _MAX_UID_BYTES else b""


def _read_elements(encoded: bytes) -> dict[int, bytes]:
    elements: dict[int, bytes] = {}
    position = 0
    while position < len(encoded):
        if position + _ELEMENT.size > len(encoded):
            raise ProtocolError("a truncated command", AbortReason.INVALID_PARAMETER_VALUE)
        group, number, length = _ELEMENT.unpack_from(encoded, position)
        position += _ELEMENT.size
        if group != 0 or length > len(encoded) - position:
            raise ProtocolError("a malformed command", AbortReason.INVALID_PARAMETER_VALUE)
        elements[number] = encoded[position : position + length]
        position += length
    return elements


def _read_number(elements: Mapping[int, bytes], element: CommandElement) -> int:
    value = elements.get(element, b"")
    if len(value) != 2:
        raise ProtocolError("an incomplete command", AbortReason.INVALID_PARAMETER_VALUE)
    return int.from_bytes(value, "little")


def _encode_number(value: int) -> bytes:
    return value.to_bytes(2, "little")


def _encode_element(number: int, value: bytes) -> bytes:
    return _ELEMENT.pack(0, number, len(value)) + value
