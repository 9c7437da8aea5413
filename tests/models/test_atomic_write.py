from pathlib import Path

import pytest

from models.atomic_write import open_atomically, write_text_atomically


class PowerCut(Exception):
    """Interrupts a write."""


def test_an_interrupted_write_leaves_the_file_unchanged(tmp_path: Path) -> None:
    file = tmp_path / "values.json"
    write_text_atomically(file, "größer")

    def cut() -> None:
        with open_atomically(file) as stream:
            stream.write(b"incomplete")
            raise PowerCut

    with pytest.raises(PowerCut):
        cut()

    assert file.read_text(encoding="utf-8") == "größer"


def test_a_file_is_replaced_and_no_temporary_file_remains(tmp_path: Path) -> None:
    file = tmp_path / "values.json"

    write_text_atomically(file, "first")
    write_text_atomically(file, "second")

    assert file.read_text(encoding="utf-8") == "second"
    assert list(tmp_path.iterdir()) == [file]
