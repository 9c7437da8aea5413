"""What rows contain, read by the walk and by pydicom."""

from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
)

from db.intake import Sender
from dicom.data_set_walk import ReadAt
from dicom.errors import InvalidHeader, TruncatedFile
from dicom.images.header import InstanceHeader, read_header
from dicom.images.row_header import read_row_header
from listener.attributes import build_received
from listener.origin import parse_file_meta
from tests.listener.images import image, save

SENDER = Sender("MODALITY", "10.0.0.7")
SYNTAXES = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
    JPEGBaseline8Bit,
)


def reader(data: bytes) -> ReadAt:
    return lambda at, count: data[at : at + count]


def read(path: Path) -> InstanceHeader:
    content = path.read_bytes()
    meta = parse_file_meta(content)
    return read_row_header(reader(content[meta.data_set_offset :]), meta.transfer_syntax_uid)


def assert_equal_rows(path: Path) -> None:
    assert build_received(read(path), SENDER) == build_received(read_header(path), SENDER)


def right_breast(*, undefined_length: bool) -> dict[str, Any]:
    modifier, region = Dataset(), Dataset()
    modifier.CodeValue = "24028007"
    region.AnatomicRegionModifierSequence = Sequence([modifier])
    region["AnatomicRegionModifierSequence"].is_undefined_length = undefined_length
    region.is_undefined_length_sequence_item = undefined_length
    return {"AnatomicRegionSequence": Sequence([region])}


@pytest.mark.parametrize("undefined_length", [False, True])
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_rows_are_those_of_the_parser_in_every_encoding(
    tmp_path: Path, syntax: str, undefined_length: bool
) -> None:
    attributes = right_breast(undefined_length=undefined_length)
    made = image(transfer_syntax=syntax, NumberOfFrames=3, FrameTime=40.5, **attributes)
    made["AnatomicRegionSequence"].is_undefined_length = undefined_length
    path = save(made, tmp_path / "x.dcm")
    assert_equal_rows(path)
    header = read(path)
    assert (header.laterality, header.frame_time_ms) == ("R", 40.5)
    assert header.patient.patient_name == "Doe^Jane"


@pytest.mark.parametrize(
    ("character_set", "name"),
    [
        ("ISO_IR 192", "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        ("ISO_IR 100", "Buc^Jérôme"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        ("ISO_IR 144", "Люкceмбypг"),
        ("GB18030", "Wang^XiaoDong=王^小东"),
    ],
)
def test_names_in_every_script_are_decoded(
    tmp_path: Path, character_set: object, name: str
) -> None:
    path = save(image(SpecificCharacterSet=character_set, PatientName=name), tmp_path / "x.dcm")
    assert read(path).patient.patient_name == name
    assert_equal_rows(path)


def test_missing_attributes_are_those_of_the_parser(tmp_path: Path) -> None:
    absent: dict[str, Any] = dict.fromkeys(
        ("PatientName", "PatientID", "StudyDate", "SeriesNumber", "Rows", "PixelData")
    )
    assert_equal_rows(save(image(**absent), tmp_path / "x.dcm"))
    assert_equal_rows(save(image(Laterality="L", CineRate=25), tmp_path / "y.dcm"))


def test_rows_of_real_files_are_those_of_the_parser(shared_data: Path) -> None:
    paths = sorted((shared_data / "dicom").glob("*.dcm"))
    assert paths
    for path in paths:
        assert_equal_rows(path)


def test_what_is_not_whole_or_not_identified_is_an_error(tmp_path: Path) -> None:
    path = save(image(), tmp_path / "x.dcm")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(TruncatedFile):
        read(path)
    with pytest.raises(InvalidHeader, match="StudyInstanceUID is missing"):
        read(save(image(StudyInstanceUID=None), path))
