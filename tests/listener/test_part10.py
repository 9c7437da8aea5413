"""Files as the listener writes them."""

from pathlib import Path

import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEGBaseline8Bit

from dicom.errors import DicomError, NotDicom
from listener.part10 import has_same_data_set, read_complete_header
from tests.listener.images import image, save, sibling


def test_another_file_meta_does_not_change_the_data_set(tmp_path: Path) -> None:
    dataset = image()
    path = save(dataset, tmp_path / "first.dcm")
    dataset.file_meta.ImplementationVersionName = "ANOTHER"
    assert has_same_data_set(path, save(dataset, tmp_path / "other.dcm"))


@pytest.mark.parametrize("changed", [{"content": 1}, {"size_bytes": 64 * 65}])
def test_one_changed_or_additional_pixel_is_another_data_set(
    tmp_path: Path, changed: dict[str, int]
) -> None:
    dataset = image()
    other = sibling(dataset, SOPInstanceUID=dataset.SOPInstanceUID, **changed)
    path = save(dataset, tmp_path / "first.dcm")
    assert not has_same_data_set(path, save(other, tmp_path / "other.dcm"))


def test_a_file_not_written_by_the_listener_is_not_compared(tmp_path: Path) -> None:
    path = save(image(), tmp_path / "first.dcm")
    other = tmp_path / "other.dcm"
    other.write_bytes(b"x" * 1000)
    with pytest.raises(ValueError, match="the listener wrote"):
        has_same_data_set(path, other)


@pytest.mark.parametrize("syntax", [JPEGBaseline8Bit, DeflatedExplicitVRLittleEndian])
def test_an_object_without_its_last_bytes_is_not_complete(tmp_path: Path, syntax: str) -> None:
    path = save(image(transfer_syntax=syntax), tmp_path / "x.dcm")
    assert read_complete_header(path).rows == 64
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DicomError):
        read_complete_header(path)


def test_an_object_without_pixels_is_complete(tmp_path: Path) -> None:
    assert read_complete_header(save(image(PixelData=None), tmp_path / "x.dcm")).modality == "US"


def test_text_is_not_dicom(tmp_path: Path) -> None:
    path = tmp_path / "x.dcm"
    path.write_text("no DICOM here " * 100)
    with pytest.raises(NotDicom):
        read_complete_header(path)
