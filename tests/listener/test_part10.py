"""Files as the listener writes them."""

from pathlib import Path

import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEGBaseline8Bit

from dicom.errors import DicomError, NotDicom
from listener.part10 import read_whole, same_data_set
from tests.listener.making import image, save, sibling


def test_another_file_meta_before_the_same_data_set_is_the_same(tmp_path: Path) -> None:
    dataset = image()
    one = save(dataset, tmp_path / "one.dcm")
    dataset.file_meta.ImplementationVersionName = "ANOTHER"
    assert same_data_set(one, save(dataset, tmp_path / "other.dcm"))


@pytest.mark.parametrize("changed", [{"content": 1}, {"size_bytes": 64 * 65}])
def test_one_other_pixel_or_one_more_is_not_the_same(
    tmp_path: Path, changed: dict[str, int]
) -> None:
    dataset = image()
    other = sibling(dataset, SOPInstanceUID=dataset.SOPInstanceUID, **changed)
    one = save(dataset, tmp_path / "one.dcm")
    assert not same_data_set(one, save(other, tmp_path / "other.dcm"))


def test_a_file_of_another_kind_is_not_compared(tmp_path: Path) -> None:
    one = save(image(), tmp_path / "one.dcm")
    other = tmp_path / "other.dcm"
    other.write_bytes(b"x" * 1000)
    with pytest.raises(ValueError, match="the listener wrote"):
        same_data_set(one, other)


@pytest.mark.parametrize("syntax", [JPEGBaseline8Bit, DeflatedExplicitVRLittleEndian])
def test_an_object_without_its_last_bytes_is_not_whole(tmp_path: Path, syntax: str) -> None:
    path = save(image(transfer_syntax=syntax), tmp_path / "x.dcm")
    assert read_whole(path).rows == 64
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DicomError):
        read_whole(path)


def test_an_object_without_pixels_is_whole(tmp_path: Path) -> None:
    assert read_whole(save(image(PixelData=None), tmp_path / "x.dcm")).modality == "US"


def test_text_is_not_dicom(tmp_path: Path) -> None:
    path = tmp_path / "x.dcm"
    path.write_text("no DICOM here " * 100)
    with pytest.raises(NotDicom):
        read_whole(path)
