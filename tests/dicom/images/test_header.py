from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from dicom.errors import InvalidHeader, NotDicom, TruncatedFile
from dicom.files import write_dataset
from dicom.images.header import parse_header, read_header
from dicom.images.ultrasound_image import build_ultrasound_image
from tests.dicom import making

# names of PS3.5 annexes H to K, and character sets used in China and Turkey
NAMES = {
    "ISO_IR 100": "Äneas^Rüdiger",
    "ISO_IR 144": "Люкceмбypг",
    "ISO_IR 148": "Çavuşoğlu^Şule",
    "ISO_IR 192": "Wang^XiaoDong=王^小东",
    "GB18030": "Wang^XiaoDong=王^小东",
    "\\ISO 2022 IR 87": "Yamada^Tarou=山田^太郎=やまだ^たろう",
    "ISO 2022 IR 13\\ISO 2022 IR 87": "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう",
    "\\ISO 2022 IR 149": "Hong^Gildong=洪^吉洞=홍^길동",
}


def write_name(path: Path, character_set: str, name: str) -> Path:
    changes = {"SpecificCharacterSet": character_set.split("\\"), "PatientName": name}
    return making.write_image(path, changes=changes)


@pytest.mark.parametrize("character_set", NAMES)
def test_names_are_read_in_every_character_set(tmp_path: Path, character_set: str) -> None:
    name = NAMES[character_set]
    path = write_name(tmp_path / "image.dcm", character_set, name)
    assert (name.encode() in path.read_bytes()) == (character_set == "ISO_IR 192")
    assert read_header(path).patient.patient_name == name


def test_a_japanese_name_from_ps3_5_is_read_from_its_bytes(tmp_path: Path) -> None:
    raw = b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B"
    stand_in = "X" * len(raw)
    path = write_name(tmp_path / "image.dcm", "\\ISO 2022 IR 87", stand_in)
    path.write_bytes(path.read_bytes().replace(stand_in.encode(), raw))
    assert read_header(path).patient.patient_name == "Yamada^Tarou=山田^太郎=やまだ^たろう"


def test_every_real_file_has_a_header(shared_data: Path) -> None:
    headers = [read_header(path) for path in sorted((shared_data / "dicom").glob("*.dcm"))]
    assert len(headers) == 14
    assert {header.modality for header in headers} == {"US"}
    assert all(header.rows > 0 and header.study_date for header in headers)


def test_the_frame_time_comes_from_the_first_attribute_present() -> None:
    frames = [making.gray(seed=seed) for seed in range(2)]
    dataset = build_ultrasound_image(frames, study=making.STUDY, frame_time_ms=20)
    assert parse_header(dataset).frame_time_ms == 20
    del dataset.FrameTime
    assert parse_header(dataset).frame_time_ms is None
    dataset.CineRate = "25"
    assert parse_header(dataset).frame_time_ms == 40


def test_missing_and_empty_attributes_have_empty_values() -> None:
    dataset = bare()
    dataset.PatientSex = None
    header = parse_header(dataset)
    assert (header.patient.patient_name, header.patient.sex, header.study_date) == ("", "", "")
    assert (header.series_number, header.instance_number, header.rows) == (None, None, 0)
    assert header.number_of_frames == 1
    assert header.transfer_syntax_uid == ""


def bare() -> Dataset:
    dataset = Dataset()
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.6.1"
    dataset.SOPInstanceUID = "1.2.3.4"
    dataset.StudyInstanceUID = "1.2.3"
    dataset.SeriesInstanceUID = "1.2.3.5"
    return dataset


@pytest.mark.parametrize(
    "keyword", ["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"]
)
@pytest.mark.parametrize("uid", ["", "1.2.x", "../../etc/passwd", "1..2", "1" * 65])
def test_a_missing_or_malformed_uid_is_an_error_that_does_not_quote_it(
    keyword: str, uid: str
) -> None:
    dataset = bare()
    dataset.add_new(keyword, "UI", uid)
    with pytest.raises(InvalidHeader) as caught:
        parse_header(dataset)
    assert caught.value.keyword == keyword
    assert not uid or uid not in str(caught.value)


def test_invalid_numbers_count_as_absent(tmp_path: Path) -> None:
    path = making.write_image(tmp_path / "image.dcm")
    content = path.read_bytes()
    number = b"\x20\x00\x13\x00IS\x02\x001 "
    assert number in content
    path.write_bytes(content.replace(number, number[:-2] + b"x "))
    assert read_header(path).instance_number is None


@pytest.mark.parametrize(
    ("stored", "read"), [("20260506", "20260506"), ("2026.05.06", "20260506"), ("yesterday", "")]
)
def test_a_date_has_eight_digits_or_is_empty(stored: str, read: str) -> None:
    dataset = bare()
    dataset.add_new("StudyDate", "LO", stored)
    assert parse_header(dataset).study_date == read


@pytest.mark.parametrize(
    ("stored", "read"),
    [("140438", "140438"), ("14:04:38", "140438"), ("140438.25", "140438.25"), ("noon", "")],
)
def test_a_time_has_no_colons_or_is_empty(stored: str, read: str) -> None:
    dataset = bare()
    dataset.add_new("StudyTime", "LO", stored)
    assert parse_header(dataset).study_time == read


@pytest.mark.parametrize("keyword", ["Laterality", "ImageLaterality", "FrameLaterality"])
@pytest.mark.parametrize(("stored", "read"), [("L", "L"), ("R", "R"), ("B", ""), ("", "")])
def test_laterality_is_left_right_or_empty(keyword: str, stored: str, read: str) -> None:
    dataset = bare()
    setattr(dataset, keyword, stored)
    assert parse_header(dataset).laterality == read


def test_laterality_may_be_a_modifier_of_the_anatomic_region() -> None:
    dataset, region, modifier = bare(), Dataset(), Dataset()
    modifier.CodeValue, modifier.CodingSchemeDesignator = "24028007", "SCT"
    region.CodeValue, region.CodeMeaning = "76752008", "Breast"
    region.AnatomicRegionModifierSequence = [modifier]
    dataset.AnatomicRegionSequence = [region]
    header = parse_header(dataset)
    assert header.laterality == "R"
    assert header.body_part == "Breast"


def test_a_file_that_is_not_dicom_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "image.dcm"
    for content in (b"", b"GIF89a", b"\0" * 500):
        path.write_bytes(content)
        with pytest.raises(NotDicom):
            read_header(path)


def test_a_file_cut_off_in_its_header_is_truncated(tmp_path: Path) -> None:
    path = making.write_image(tmp_path / "image.dcm")
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.index(b"M\xc3\xbcller") + 3])
    with pytest.raises(TruncatedFile):
        read_header(path)


def test_every_truncation_raises_a_dicom_error(tmp_path: Path) -> None:
    dataset = build_ultrasound_image(making.gray(32, 32), study=making.STUDY, spacing_mm=0.1)
    path = write_dataset(dataset, tmp_path / "image.dcm").path
    whole = path.read_bytes()
    header_end = len(whole) - 32 * 32
    for end in range(0, header_end, 7):
        path.write_bytes(whole[:end])
        try:
            read_header(path)
        except (NotDicom, TruncatedFile, InvalidHeader):
            continue
        assert end > header_end // 2  # cut between two elements, after the UIDs


def test_a_missing_transfer_syntax_is_an_error(tmp_path: Path) -> None:
    path = making.write_image(tmp_path / "image.dcm")
    content = bytearray(path.read_bytes())
    at = content.index(b"1.2.840.10008.1.2.1\x00")
    content[at : at + 20] = b"\0" * 20
    path.write_bytes(bytes(content))
    with pytest.raises(InvalidHeader, match="TransferSyntaxUID"):
        read_header(path)


def test_pixels_are_not_read(tmp_path: Path) -> None:
    path = making.write_image(tmp_path / "image.dcm")
    whole = path.read_bytes()
    path.write_bytes(whole[: -len(making.gray().tobytes())])
    assert read_header(path).rows == 64
