from pathlib import Path

import pytest

from models.training.run_directory import (
    RUN_FILE,
    RunDirectoryOccupied,
    has_training_run,
    prepare_run_directory,
)

ONE = {"recipe": "1", "folds": "2"}
OTHER = {"recipe": "1", "folds": "3"}
OUTPUTS = (
    "folds/fold-0/held-out.json",
    "logs/fold-0/train/events",
    "logs/all-images/train/events",
    "preset/preset.json",
    "summary.json",
)


def write_outputs(home: Path) -> None:
    """Write files as a training run does."""
    for name in OUTPUTS:
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).touch()


def files(home: Path) -> set[str]:
    return {str(x.relative_to(home)) for x in home.rglob("*") if x.is_file()}


def test_the_same_run_continues_in_its_directory(tmp_path: Path) -> None:
    prepare_run_directory(tmp_path, ONE)
    write_outputs(tmp_path)

    prepare_run_directory(tmp_path, ONE)
    prepare_run_directory(tmp_path, ONE, overwrite=True)

    assert files(tmp_path) == {RUN_FILE, *OUTPUTS}


def test_another_run_is_rejected_and_nothing_is_lost(tmp_path: Path) -> None:
    home = tmp_path / "out"
    prepare_run_directory(home, ONE)
    write_outputs(home)

    with pytest.raises(
        RunDirectoryOccupied, match=r"out contains another .*different folds\).*--overwrite"
    ):
        prepare_run_directory(home, OTHER)

    assert files(home) == {RUN_FILE, *OUTPUTS}
    prepare_run_directory(home, ONE)


@pytest.mark.parametrize("text", [None, "", "[1]", "{"])
def test_outputs_of_an_unknown_run_are_not_removed(tmp_path: Path, text: str | None) -> None:
    write_outputs(tmp_path)
    if text is not None:
        (tmp_path / RUN_FILE).write_text(text)

    with pytest.raises(RunDirectoryOccupied, match="contains another training run: choose"):
        prepare_run_directory(tmp_path, ONE)


def test_overwriting_removes_the_outputs_of_another_run_only(tmp_path: Path) -> None:
    prepare_run_directory(tmp_path, ONE)
    write_outputs(tmp_path)
    (tmp_path / "logs" / "mine.txt").touch()

    prepare_run_directory(tmp_path, OTHER, overwrite=True)

    assert files(tmp_path) == {RUN_FILE, "logs/mine.txt"}
    write_outputs(tmp_path)
    with pytest.raises(RunDirectoryOccupied):
        prepare_run_directory(tmp_path, ONE)


def test_a_directory_without_outputs_can_be_used_by_another_run(
    tmp_path: Path,
) -> None:
    prepare_run_directory(tmp_path, ONE)
    prepare_run_directory(tmp_path, OTHER)

    write_outputs(tmp_path)
    prepare_run_directory(tmp_path, OTHER)


def test_a_directory_with_a_run_is_recognized(tmp_path: Path) -> None:
    assert not has_training_run(tmp_path)
    prepare_run_directory(tmp_path, ONE)
    assert has_training_run(tmp_path)
