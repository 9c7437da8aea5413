"""A peer that writes PDUs byte by byte, correct or not."""

import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian, UltrasoundImageStorage
from pynetdicom.dsutils import encode
from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    MaximumLengthNotification,
)
from pynetdicom.presentation import PresentationContext, build_context

from listener.command_set import CommandElement, CommandField
from listener.negotiation import UserInformation
from listener.upper_layer import IS_COMMAND, IS_LAST, PDU_HEADER, PduType, build_fragment

VERIFICATION_ID: Final = 1
ULTRASOUND_ID: Final = 3
NO_DATA_SET: Final = 0x0101
FRAGMENT_BYTES: Final = 16_000


def build_request(
    contexts: Sequence[PresentationContext] = (),
    *,
    ae_title: str = "MODALITY",
    called: str = "SONOGATE",
    max_pdu_bytes: int = 16_382,
    items: Sequence[UserInformation] = (),
) -> bytes:
    """Return an A-ASSOCIATE-RQ. By default it proposes Verification and ultrasound images."""
    proposed = list(contexts) or [
        build_context("1.2.840.10008.1.1"),
        build_context(UltrasoundImageStorage, ExplicitVRLittleEndian),
    ]
    for number, context in enumerate(proposed):
        context.context_id = 2 * number + 1
    length = MaximumLengthNotification()
    length.maximum_length_received = max_pdu_bytes
    implementation = ImplementationClassUIDNotification()
    implementation.implementation_class_uid = UID("1.2.3")
    primitive = A_ASSOCIATE()
    primitive.application_context_name = UID("1.2.840.10008.3.1.1.1")
    primitive.calling_ae_title, primitive.called_ae_title = ae_title, called
    primitive.presentation_context_definition_list = proposed
    primitive.user_information = [length, implementation, *items]
    pdu = A_ASSOCIATE_RQ()
    pdu.from_primitive(primitive)
    encoded: bytes = pdu.encode()
    return encoded


def build_command(elements: dict[int, bytes]) -> bytes:
    """Return a command set without its group length, which nobody needs."""
    return b"".join(
        struct.pack("<HHL", 0, number, len(value)) + value
        for number, value in sorted(elements.items())
    )


def build_echo(message_id: int = 1) -> bytes:
    return build_fragment(
        VERIFICATION_ID,
        IS_COMMAND | IS_LAST,
        build_command(
            {
                CommandElement.AFFECTED_SOP_CLASS_UID: b"1.2.840.10008.1.1\0",
                CommandElement.COMMAND_FIELD: struct.pack("<H", CommandField.C_ECHO),
                CommandElement.MESSAGE_ID: struct.pack("<H", message_id),
                CommandElement.COMMAND_DATA_SET_TYPE: struct.pack("<H", NO_DATA_SET),
            }
        ),
    )


def build_store(dataset: Dataset, message_id: int = 1) -> bytes:
    """Return the command of a C-STORE request."""
    return build_fragment(
        ULTRASOUND_ID,
        IS_COMMAND | IS_LAST,
        build_command(
            {
                CommandElement.AFFECTED_SOP_CLASS_UID: pad(dataset.SOPClassUID),
                CommandElement.COMMAND_FIELD: struct.pack("<H", CommandField.C_STORE),
                CommandElement.MESSAGE_ID: struct.pack("<H", message_id),
                CommandElement.COMMAND_DATA_SET_TYPE: b"\0\0",
                CommandElement.AFFECTED_SOP_INSTANCE_UID: pad(dataset.SOPInstanceUID),
            }
        ),
    )


def build_data(dataset: Dataset) -> list[bytes]:
    """Return the data set of a C-STORE request as PDUs."""
    content = encode_data_set(dataset)
    starts = range(0, len(content), FRAGMENT_BYTES)
    return [
        build_fragment(
            ULTRASOUND_ID,
            IS_LAST if start == starts[-1] else 0,
            content[start : start + FRAGMENT_BYTES],
        )
        for start in starts
    ]


def encode_data_set(dataset: Dataset) -> bytes:
    content = encode(dataset, is_implicit_vr=False, is_little_endian=True)
    assert content is not None
    return content


def pad(uid: str) -> bytes:
    return uid.encode() + b"\0" * (len(uid) % 2)


class RawPeer:
    """A connection to a listener."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def associate(self, ae_title: str = "MODALITY") -> None:
        self.send(build_request(ae_title=ae_title))
        kind, _ = self.read_pdu()
        assert kind == PduType.A_ASSOCIATE_AC

    def read_pdu(self) -> tuple[int, bytes]:
        """Return type and content of the next PDU."""
        kind, length = PDU_HEADER.unpack(self._read(PDU_HEADER.size))
        return kind, self._read(length)

    def read_status(self) -> int:
        """Return the status of the next response."""
        kind, content = self.read_pdu()
        assert kind == PduType.P_DATA_TF
        at = content.index(struct.pack("<HHL", 0, CommandElement.STATUS, 2))
        return int.from_bytes(content[at + 8 : at + 10], "little")

    def read_abort(self) -> tuple[int, int]:
        """Return source and reason of an A-ABORT (PS3.8 9.3.8)."""
        kind, content = self.read_pdu()
        assert kind == PduType.A_ABORT
        return content[2], content[3]

    def is_closed(self) -> bool:
        """Wait until the listener has closed the connection; ignore what it sends."""
        try:
            while self.socket.recv(4096):
                pass
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False
        return True

    def _read(self, count: int) -> bytes:
        content = b""
        while len(content) < count:
            part = self.socket.recv(count - len(content))
            if not part:
                raise ConnectionResetError
            content += part
        return content


@contextmanager
def connect(port: int, *, address: str = "127.0.0.1", seconds: float = 20) -> Iterator[RawPeer]:
    """Connect from one of the loopback addresses."""
    with socket.create_connection(
        ("127.0.0.1", port), timeout=seconds, source_address=(address, 0)
    ) as connection:
        yield RawPeer(connection)
