import hashlib
from pathlib import Path

import pydicom
import pytest

from dicom.files import encode, write_dataset
from dicom.images.ultrasound_image import build_ultrasound_image
from dicom.uids import IMPLEMENTATION_CLASS_UID
from tests.dicom import making

DATASET = build_ultrasound_image(making.gray(), study=making.STUDY)


def test_it_returns_digest_and_size_of_the_file(tmp_path: Path) -> None:
    written = write_dataset(DATASET, tmp_path / "a.dcm")
    content = (tmp_path / "a.dcm").read_bytes()
    assert written.sha256 == hashlib.sha256(content).hexdigest()
    assert written.size_bytes == len(content)
    assert content == encode(DATASET)


def test_the_file_contains_the_implementation(tmp_path: Path) -> None:
    meta = pydicom.dcmread(write_dataset(DATASET, tmp_path / "a.dcm").path).file_meta
    assert meta.ImplementationClassUID == IMPLEMENTATION_CLASS_UID
    assert meta.MediaStorageSOPInstanceUID == DATASET.SOPInstanceUID


def test_it_replaces_a_file_and_leaves_no_temporary_file(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(b"older")
    write_dataset(DATASET, tmp_path / "a.dcm")
    assert [path.name for path in tmp_path.iterdir()] == ["a.dcm"]


def test_the_old_file_remains_if_writing_fails(tmp_path: Path) -> None:
    target = tmp_path / "a.dcm"
    target.mkdir()  # a directory cannot be replaced by a file
    (target / "other-file").touch()
    with pytest.raises(OSError, match=r"a\.dcm"):
        write_dataset(DATASET, target)
    assert [path.name for path in tmp_path.iterdir()] == ["a.dcm"]
    assert (target / "other-file").exists()


def test_writing_does_not_change_the_data_set(tmp_path: Path) -> None:
    dataset = build_ultrasound_image(making.gray(), study=making.STUDY)
    write_dataset(dataset, tmp_path / "a.dcm")
    assert dataset == build_ultrasound_image(making.gray(), study=making.STUDY)
