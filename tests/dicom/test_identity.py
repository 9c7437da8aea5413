"""The identity of an instance, read by the walk and by pydicom."""

from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from dicom.errors import InvalidHeader
from dicom.identity import InstanceIdentity, read_identity
from dicom.images.header import read_header
from listener.origin import parse_file_meta
from tests.dicom.test_data_set_walk import encode, reader


def identified(**attributes: str | None) -> Dataset:
    dataset = Dataset()
    values = {
        "StudyInstanceUID": "1.2.1",
        "SeriesInstanceUID": "1.2.2",
        "SOPInstanceUID": "1.2.3",
        "SOPClassUID": "1.2.4",
    } | attributes
    for keyword, value in values.items():
        if value is not None:
            setattr(dataset, keyword, value)
    return dataset


def identity_of(dataset: Dataset) -> InstanceIdentity:
    return read_identity(reader(encode(dataset, ExplicitVRLittleEndian)), ExplicitVRLittleEndian)


def test_it_has_the_four_uids() -> None:
    assert identity_of(identified()) == InstanceIdentity("1.2.1", "1.2.2", "1.2.3", "1.2.4")


@pytest.mark.parametrize(
    "keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID"]
)
@pytest.mark.parametrize("value", [None, ""])
def test_a_missing_uid_is_named(keyword: str, value: str | None) -> None:
    with pytest.raises(InvalidHeader, match=f"{keyword} is missing"):
        identity_of(identified(**{keyword: value}))


@pytest.mark.parametrize("value", ["1.2.x", "1.2\\1.3", "1" * 65])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_malformed_uid_is_named(value: str) -> None:
    with pytest.raises(InvalidHeader, match="SOPInstanceUID is not a UID"):
        identity_of(identified(SOPInstanceUID=value))


def test_it_is_that_of_the_parser_for_real_files(shared_data: Path) -> None:
    paths = sorted((shared_data / "dicom").glob("*.dcm"))
    assert paths
    for path in paths:
        content, header = path.read_bytes(), read_header(path)
        meta = parse_file_meta(content)
        assert meta.transfer_syntax_uid == dcmread(path).file_meta.TransferSyntaxUID
        identity = read_identity(reader(content[meta.data_set_offset :]), meta.transfer_syntax_uid)
        assert identity == InstanceIdentity(
            header.study_instance_uid,
            header.series_instance_uid,
            header.sop_instance_uid,
            header.sop_class_uid,
        )
