"""Requests of DIMSE-N services with pynetdicom's primitives (PS3.7 chapter 10)."""

import zlib
from io import BytesIO
from typing import Any, Final

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import dimse_messages
from pynetdicom.dimse_messages import DIMSEMessage
from pynetdicom.dimse_primitives import (
    N_ACTION,
    N_CREATE,
    N_DELETE,
    N_EVENT_REPORT,
    N_GET,
    N_SET,
)
from pynetdicom.dsutils import decode, encode
from pynetdicom.pdu_primitives import P_DATA

from listener.command_set import CommandSet
from listener.upper_layer import IS_COMMAND, IS_LAST, AbortReason, ProtocolError

MAX_DATA_SET_BYTES: Final = 1 << 24
"""A storage commitment report of 100,000 objects."""

Primitive = N_EVENT_REPORT | N_GET | N_SET | N_ACTION | N_CREATE | N_DELETE


def decode_request(command: CommandSet, data_set: bytes) -> Primitive:
    """Return the primitive of a request.

    Raises:
        ProtocolError: A mandatory element is missing or malformed.
    """
    data = P_DATA()
    fragments = data.presentation_data_value_list
    fragments.append((1, bytes([IS_COMMAND | IS_LAST]) + command.encoded))
    if command.has_data_set:
        fragments.append((1, bytes([IS_LAST]) + data_set))
    message = DIMSEMessage()
    try:
        message.decode_msg(data)
        primitive = message.message_to_primitive()
    except Exception:  # noqa: BLE001  pynetdicom raises errors of any type for malformed bytes
        primitive = None
    if not isinstance(primitive, Primitive) or not primitive.is_valid_request:
        raise ProtocolError("a malformed request", AbortReason.INVALID_PARAMETER_VALUE)
    return primitive


def decode_data_set(stream: BytesIO | None, transfer_syntax: str) -> Dataset:
    """Return the data set of a request; empty if it has none.

    Raises:
        ValueError: It is compressed and has more than MAX_DATA_SET_BYTES.
        Exception: It is malformed. pydicom raises errors of any type.
    """
    syntax = UID(transfer_syntax)
    encoded = b"" if stream is None else stream.getvalue()
    if syntax.is_deflated:
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        encoded = inflater.decompress(encoded, MAX_DATA_SET_BYTES)
        if inflater.unconsumed_tail:
            raise ValueError("the data set inflates to too many bytes")
    return decode(BytesIO(encoded), syntax.is_implicit_VR, syntax.is_little_endian)


def encode_response(primitive: Primitive) -> tuple[bytes, bytes]:
    """Return command and data set of a response."""
    kind: Any = getattr(dimse_messages, f"{type(primitive).__name__}_RSP")
    message = kind()
    message.primitive_to_message(primitive)
    command = encode(message.command_set, is_implicit_vr=True, is_little_endian=True)
    assert command is not None
    return command, b"" if message.data_set is None else message.data_set.getvalue()
