"""File meta information of received objects."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian

from dicom.errors import InvalidHeader, NotDicom, TruncatedFile
from dicom.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from listener.origin import Origin, encode_file_meta, parse_file_meta
from tests.listener.images import image, save

ORIGIN = Origin(
    sop_class_uid="1.2.840.10008.5.1.4.1.1.6.1",
    sop_instance_uid="1.2.3.4",
    transfer_syntax_uid=ExplicitVRLittleEndian,
    calling_ae="MODALITY",
    called_ae="SONOGATE",
    address="10.0.0.7",
    received_at=datetime(2026, 3, 4, 5, 6, 7, 891_234, tzinfo=UTC),
    stable_after=timedelta(seconds=2.5),
)


@pytest.mark.parametrize(
    "origin",
    [
        ORIGIN,
        replace(ORIGIN, address="2001:db8::7"),
        replace(ORIGIN, calling_ae="", called_ae="A B", sop_instance_uid="1.2.30"),
    ],
)
def test_an_origin_is_read_as_it_was_written(origin: Origin) -> None:
    head = encode_file_meta(origin)
    meta = parse_file_meta(head + b"\x08\x00\x05\x00CS\0\0 the data set")
    assert (meta.origin, meta.data_set_offset) == (origin, len(head))


def test_pydicom_reads_where_the_object_came_from() -> None:
    meta = dcmread(BytesIO(encode_file_meta(ORIGIN))).file_meta
    assert meta.FileMetaInformationVersion == b"\0\1"
    assert meta.MediaStorageSOPClassUID == ORIGIN.sop_class_uid
    assert meta.MediaStorageSOPInstanceUID == ORIGIN.sop_instance_uid
    assert meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert meta.ImplementationClassUID == IMPLEMENTATION_CLASS_UID
    assert meta.ImplementationVersionName == IMPLEMENTATION_VERSION_NAME
    assert meta.SendingApplicationEntityTitle == "MODALITY"
    assert meta.ReceivingApplicationEntityTitle == "SONOGATE"
    assert meta.SourcePresentationAddress == "dicom://10.0.0.7"
    assert meta.SendingPresentationAddress == "dicom://10.0.0.7"
    assert b"2026-03-04T05:06:07.891234+00:00" in meta.PrivateInformation


def test_a_file_of_another_program_has_no_origin(tmp_path: Path) -> None:
    path = save(image(), tmp_path / "x.dcm")
    meta = parse_file_meta(path.read_bytes())
    assert meta.origin is None
    assert meta.transfer_syntax_uid == ExplicitVRLittleEndian


@pytest.mark.parametrize("damage", [b'"received_at": "2026', b"stable_after"])
def test_damaged_private_information_is_no_origin(damage: bytes) -> None:
    head = encode_file_meta(ORIGIN)
    assert damage in head
    assert parse_file_meta(head.replace(damage, b"?" * len(damage))).origin is None


def test_what_is_no_complete_file_meta_is_an_error() -> None:
    head = encode_file_meta(ORIGIN)
    with pytest.raises(NotDicom):
        parse_file_meta(bytes(200))
    with pytest.raises(TruncatedFile):
        parse_file_meta(head[:-1])
    with pytest.raises(InvalidHeader, match="TransferSyntaxUID is missing"):
        parse_file_meta(bytes(128) + b"DICM")
