"""Images as DICOM files that can be sent."""

from pathlib import Path

from pydicom import dcmread

from sonogate.files.wrapping import to_sendable
from tests.sonogate import pictures


def test_dicom_files_are_returned_unchanged(tmp_path: Path) -> None:
    source = pictures.still(tmp_path / "a.dcm")
    (sendable,) = to_sendable([source], tmp_path)
    assert sendable.dicom == source


def test_the_same_image_becomes_the_same_object(tmp_path: Path) -> None:
    source = pictures.png(tmp_path / "a.png")
    uids = set()
    for name in ("1", "2"):
        folder = tmp_path / name
        folder.mkdir()
        (sendable,) = to_sendable([source], folder)
        assert sendable.dicom is not None
        uids.add(dcmread(sendable.dicom).SOPInstanceUID)
    assert len(uids) == 1


def test_a_damaged_image_is_named_with_its_problem(tmp_path: Path) -> None:
    damaged = tmp_path / "a.png"
    damaged.write_text("no image")
    good = pictures.png(tmp_path / "b.png")
    first, second = to_sendable([damaged, good], tmp_path)
    assert first.dicom is None
    assert first.problem
    assert second.dicom is not None
