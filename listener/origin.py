"""Where a received object came from, and the file meta information that says so (PS3.10 7.1)."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from struct import pack, unpack_from
from typing import Final

from dicom.errors import InvalidHeader, NotDicom, TruncatedFile
from dicom.uids import (
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
    PRIVATE_INFORMATION_UID,
)

MAX_FILE_META_BYTES: Final = 65_536
_PREAMBLE: Final = bytes(128) + b"DICM"
_VERSION: Final = b"\x00\x01"
_LONG_VRS: Final = frozenset((b"OB", b"UN", b"UR"))
_MAX_TEXT_BYTES: Final = 128
_SCHEME: Final = "dicom://"  # of a presentation address (PS3.10 7.1.1.1)

_CLASS, _INSTANCE, _SYNTAX, _IMPLEMENTATION, _VERSION_NAME = 0x02, 0x03, 0x10, 0x12, 0x13
_SENDING_AE, _RECEIVING_AE, _SOURCE_ADDRESS, _SENDING_ADDRESS = 0x17, 0x18, 0x26, 0x27
_PRIVATE_CREATOR, _PRIVATE_INFORMATION = 0x100, 0x102


@dataclass(frozen=True)
class Origin:
    """What an object was announced as, and where it came from."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    calling_ae: str
    called_ae: str
    address: str
    received_at: datetime
    """With time zone."""
    stable_after: timedelta
    """How long its study waits for further instances."""


@dataclass(frozen=True)
class FileMeta:
    """The file meta information of a DICOM file."""

    transfer_syntax_uid: str
    data_set_offset: int
    """Where the data set begins in the file."""
    origin: Origin | None
    """None if the file was not written by this version of Sonogate."""


def encode_file_meta(origin: Origin) -> bytes:
    """Return preamble and file meta information of a file with an object from `origin`.

    Private Information (0002,0102) is JSON with the time of receipt, and with the quiet time that
    the routes file gave the sender then.
    """
    private = {
        "received_at": origin.received_at.astimezone(UTC).isoformat(timespec="microseconds"),
        "stable_after_seconds": origin.stable_after.total_seconds(),
    }
    address = f"[{origin.address}]" if ":" in origin.address else origin.address
    elements = (
        (0x01, b"OB", _VERSION),
        (_CLASS, b"UI", _encode(origin.sop_class_uid)),
        (_INSTANCE, b"UI", _encode(origin.sop_instance_uid)),
        (_SYNTAX, b"UI", _encode(origin.transfer_syntax_uid)),
        (_IMPLEMENTATION, b"UI", _encode(IMPLEMENTATION_CLASS_UID)),
        (_VERSION_NAME, b"SH", _encode(IMPLEMENTATION_VERSION_NAME)),
        (_SENDING_AE, b"AE", _encode(origin.calling_ae)),
        (_RECEIVING_AE, b"AE", _encode(origin.called_ae)),
        (_SOURCE_ADDRESS, b"UR", _encode(_SCHEME + address)),
        (_SENDING_ADDRESS, b"UR", _encode(_SCHEME + address)),
        (_PRIVATE_CREATOR, b"UI", _encode(PRIVATE_INFORMATION_UID)),
        (_PRIVATE_INFORMATION, b"OB", json.dumps(private).encode()),
    )
    group = b"".join(_encode_element(*element) for element in elements)
    return _PREAMBLE + _encode_element(0, b"UL", pack("<L", len(group))) + group


def parse_file_meta(head: bytes) -> FileMeta:
    """Return the file meta information at the start of a file.

    `head` needs no more than `MAX_FILE_META_BYTES`.

    Raises NotDicom, TruncatedFile, and InvalidHeader without a transfer syntax.
    """
    if head[: len(_PREAMBLE)][-4:] != b"DICM":
        raise NotDicom
    end = len(_PREAMBLE)
    values: dict[int, bytes] = {}
    for number, value, end in _parse_elements(head):  # noqa: B007  the last end is used below
        values[number] = value
    syntax = _decode(values.get(_SYNTAX, b""))
    if not syntax:
        raise InvalidHeader("TransferSyntaxUID", "missing")
    return FileMeta(syntax, end, _parse_origin(values, syntax))


def _parse_elements(head: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Yield element number, value and end of each element of group 0002 (PS3.10 7.1)."""
    at = len(_PREAMBLE)
    while at + 8 <= len(head):
        group, number, vr, length = unpack_from("<HH2sH", head, at)
        if group != 2:
            return
        at += 8
        if vr in _LONG_VRS:
            if at + 4 > len(head):
                raise TruncatedFile
            (length,) = unpack_from("<L", head, at)
            at += 4
        if at + length > len(head):
            raise TruncatedFile
        yield number, head[at : at + length], at + length
        at += length


def _parse_origin(values: dict[int, bytes], syntax: str) -> Origin | None:
    if _decode(values.get(_PRIVATE_CREATOR, b"")) != PRIVATE_INFORMATION_UID:
        return None
    try:
        private = json.loads(values.get(_PRIVATE_INFORMATION, b"").rstrip(b"\0"))
        received_at = datetime.fromisoformat(private["received_at"])
        stable_after = timedelta(seconds=float(private["stable_after_seconds"]))
    except (ValueError, KeyError, TypeError, OverflowError):
        return None
    if received_at.tzinfo is None:
        return None
    return Origin(
        sop_class_uid=_decode(values.get(_CLASS, b"")),
        sop_instance_uid=_decode(values.get(_INSTANCE, b"")),
        transfer_syntax_uid=syntax,
        calling_ae=_decode(values.get(_SENDING_AE, b"")),
        called_ae=_decode(values.get(_RECEIVING_AE, b"")),
        address=_decode(values.get(_SENDING_ADDRESS, b"")).removeprefix(_SCHEME).strip("[]"),
        received_at=received_at,
        stable_after=stable_after,
    )


def _encode_element(number: int, vr: bytes, value: bytes) -> bytes:
    value += (b"\0" if vr in (b"UI", b"OB") else b" ") * (len(value) % 2)
    length = pack("<xxL", len(value)) if vr in _LONG_VRS else pack("<H", len(value))
    return pack("<HH2s", 2, number, vr) + length + value


def _encode(text: str) -> bytes:
    return text.encode("ascii", "replace")[:_MAX_TEXT_BYTES]


def _decode(value: bytes) -> str:
    return value.decode("ascii", "replace").strip("\0 ")
