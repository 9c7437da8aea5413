"""A modality: pynetdicom as Storage SCU."""

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from itertools import islice
from pathlib import Path
from tempfile import NamedTemporaryFile
from weakref import WeakKeyDictionary

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian, UltrasoundImageStorage
from pynetdicom import _config, evt
from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dsutils import create_file_meta, encode, encode_file_meta
from pynetdicom.pdu import A_ASSOCIATE_RJ
from pynetdicom.presentation import PresentationContext, build_context

VERIFICATION = build_context("1.2.840.10008.1.1")
ULTRASOUND = build_context(UltrasoundImageStorage, ExplicitVRLittleEndian)
CALLER = "MODALITY"
_FRAGMENT_BYTES = 16_384
_sockets: list[socket.socket] = []
_rejections: WeakKeyDictionary[Association, A_ASSOCIATE_RJ] = WeakKeyDictionary()


def request(
    port: int,
    contexts: Sequence[PresentationContext] = (ULTRASOUND,),
    *,
    ae_title: str = CALLER,
    called: str = "SONOGATE",
) -> Association:
    """Request an association, which may be rejected."""
    entity = ApplicationEntity(ae_title)
    entity.connection_timeout = entity.acse_timeout = entity.dimse_timeout = 20
    return entity.associate(
        "127.0.0.1",
        port,
        contexts=list(contexts),
        ae_title=called,
        evt_handlers=[(evt.EVT_CONN_OPEN, _record_socket), (evt.EVT_PDU_RECV, _record_rejection)],
    )


def get_rejection(association: Association) -> tuple[int | None, ...] | None:
    """Return result, source and reason (PS3.8 9.3.4) of a rejected association.

    pynetdicom 3.0 reports an immediate rejection as a failure to connect.
    """
    pdu = _rejections.get(association)
    return (pdu.result, pdu.source, pdu.reason_diagnostic) if pdu else None


def is_rejected_temporarily(port: int) -> bool:
    """Whether a request for an association is rejected, and the sender may try again."""
    opened = request(port)
    if opened.is_established:
        opened.release()
    rejection = get_rejection(opened)
    return rejection is not None and rejection[0] == 2


def _record_rejection(event: evt.Event) -> None:
    if isinstance(event.pdu, A_ASSOCIATE_RJ):
        _rejections[event.assoc] = event.pdu


def _record_socket(event: evt.Event) -> None:
    transport = event.assoc.dul.socket
    if transport is not None and transport.socket is not None:
        _sockets.append(transport.socket)


def close_sockets() -> None:
    """Close sockets that pynetdicom leaves open after the peer closed the connection."""
    while _sockets:
        _sockets.pop().close()


@contextmanager
def association(
    port: int,
    contexts: Sequence[PresentationContext] = (ULTRASOUND,),
    *,
    ae_title: str = CALLER,
) -> Iterator[Association]:
    opened = request(port, contexts, ae_title=ae_title)
    assert opened.is_established
    try:
        yield opened
    finally:
        opened.release()


def send(port: int, *datasets: Dataset, ae_title: str = CALLER) -> list[int]:
    """Send objects over one association and return their statuses."""
    kinds = {(d.SOPClassUID, d.file_meta.TransferSyntaxUID) for d in datasets}
    contexts = [build_context(*kind) for kind in sorted(kinds)]
    with association(port, contexts, ae_title=ae_title) as opened:
        return [opened.send_c_store(dataset).Status for dataset in datasets]


@contextmanager
def raw_files() -> Iterator[None]:
    """Make the sender send the bytes of a file without decoding them."""
    before = _config.STORE_SEND_CHUNKED_DATASET
    _config.STORE_SEND_CHUNKED_DATASET = True
    try:
        yield
    finally:
        _config.STORE_SEND_CHUNKED_DATASET = before


def send_file(opened: Association, path: Path) -> int:
    """Send the bytes of a file and return the status."""
    with raw_files():
        status: int = opened.send_c_store(path).Status
    return status


def send_broken(
    opened: Association,
    dataset: Dataset,
    *,
    announced: str = "",
    cut_bytes: int = 0,
    instead: bytes = b"",
) -> int:
    """Send a data set with another instance UID, without its end, or replaced by other bytes.

    The request always names Ultrasound Image Storage.
    """
    body = encode(dataset, is_implicit_vr=False, is_little_endian=True)
    assert body is not None
    meta = create_file_meta(
        sop_class_uid=UltrasoundImageStorage,
        sop_instance_uid=UID(announced or dataset.SOPInstanceUID),
        transfer_syntax=ExplicitVRLittleEndian,
    )
    with NamedTemporaryFile(suffix=".dcm") as file:
        file.write(b"\0" * 128 + b"DICM" + encode_file_meta(meta))
        file.write(instead or body[: len(body) - cut_bytes])
        file.flush()
        return send_file(opened, Path(file.name))


def send_half(opened: Association, dataset: Dataset) -> None:
    """Send a C-STORE request with only the first part of its data set."""
    (context,) = opened.accepted_contexts
    assert context.context_id is not None
    body = encode(dataset, is_implicit_vr=False, is_little_endian=True)
    assert body is not None
    asked = C_STORE()
    asked.MessageID, asked.Priority = 1, 2
    asked.AffectedSOPClassUID = dataset.SOPClassUID
    asked.AffectedSOPInstanceUID = dataset.SOPInstanceUID
    asked.DataSet = BytesIO(body)
    message = C_STORE_RQ()
    message.primitive_to_message(asked)
    half = len(body) // 2 // _FRAGMENT_BYTES
    for fragment in islice(message.encode_msg(context.context_id, _FRAGMENT_BYTES), half):
        opened.dul.send_pdu(fragment)


def data_set_bytes(path: Path) -> bytes:
    """Return the bytes after the file meta information, located by pydicom."""
    meta = dcmread(path, stop_before_pixels=True).file_meta
    start = 128 + 4 + 12 + int(meta.FileMetaInformationGroupLength)
    return path.read_bytes()[start:]
