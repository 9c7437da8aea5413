"""Which files the command line takes."""

from pathlib import Path

import pytest

from sonogate.errors import NoInputFiles
from sonogate.files.inputs import find_input_files
from tests.sonogate import pictures


def test_folders_are_walked_for_dicom_by_content_and_pictures_by_suffix(tmp_path: Path) -> None:
    wanted = [
        pictures.still(tmp_path / "IM0001"),
        pictures.png(tmp_path / "b" / "a.PNG"),
        pictures.png(tmp_path / "b" / "b.jpeg"),
    ]
    (tmp_path / "notes.txt").write_text("no picture")
    pictures.png(tmp_path / ".hidden" / "a.png")
    assert find_input_files([tmp_path]) == wanted


def test_a_file_that_is_named_is_taken_whatever_it_is_and_once(tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("no picture")
    picture = pictures.png(tmp_path / "a.png")
    assert find_input_files([notes, tmp_path, picture]) == [notes, picture]


def test_the_folder_that_is_filled_is_passed_over(tmp_path: Path) -> None:
    picture = pictures.png(tmp_path / "a.png")
    pictures.png(tmp_path / "out" / "a.mask.png")
    assert find_input_files([tmp_path], exclude=tmp_path / "out") == [picture]


def test_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NoInputFiles):
        find_input_files([tmp_path])
