from pathlib import Path

import pytest

from models.whole_file import replacing, write_text


class PowerCut(Exception):
    """Whatever ends a process before its time."""


def test_a_file_that_is_cut_short_stays_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "told.json"
    write_text(file, "größer")

    def cut() -> None:
        with replacing(file) as stream:
            stream.write(b"half of what was to be")
            raise PowerCut

    with pytest.raises(PowerCut):
        cut()

    assert file.read_text(encoding="utf-8") == "größer"


def test_a_file_is_replaced_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "told.json"

    write_text(file, "first")
    write_text(file, "second")

    assert file.read_text(encoding="utf-8") == "second"
    assert list(tmp_path.iterdir()) == [file]
