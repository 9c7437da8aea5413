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
MADE = (
    "folds/fold-0/outcomes.json",
    "logs/fold-0/train/events",
    "logs/all-images/train/events",
    "preset/preset.json",
    "summary.json",
)


def work(home: Path) -> None:
    """Leave what a training leaves."""
    for name in MADE:
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).touch()


def files(home: Path) -> set[str]:
    return {str(x.relative_to(home)) for x in home.rglob("*") if x.is_file()}


def test_the_same_training_goes_on(tmp_path: Path) -> None:
    prepare_run_directory(tmp_path, ONE)
    work(tmp_path)

    prepare_run_directory(tmp_path, ONE)
    prepare_run_directory(tmp_path, ONE, overwrite=True)

    assert files(tmp_path) == {RUN_FILE, *MADE}


def test_another_one_is_told_apart_and_nothing_is_lost(tmp_path: Path) -> None:
    home = tmp_path / "out"
    prepare_run_directory(home, ONE)
    work(home)

    with pytest.raises(
        RunDirectoryOccupied, match=r"out contains another .*different folds\).*--overwrite"
    ):
        prepare_run_directory(home, OTHER)

    assert files(home) == {RUN_FILE, *MADE}
    prepare_run_directory(home, ONE)


@pytest.mark.parametrize("text", [None, "", "[1]", "{"])
def test_work_that_nobody_knows_whose_it_is_is_left_alone(tmp_path: Path, text: str | None) -> None:
    work(tmp_path)
    if text is not None:
        (tmp_path / RUN_FILE).write_text(text)

    with pytest.raises(RunDirectoryOccupied, match="contains another training run: choose"):
        prepare_run_directory(tmp_path, ONE)


def test_overwriting_removes_all_of_another_training_and_nothing_else(tmp_path: Path) -> None:
    prepare_run_directory(tmp_path, ONE)
    work(tmp_path)
    (tmp_path / "logs" / "mine.txt").touch()

    prepare_run_directory(tmp_path, OTHER, overwrite=True)

    assert files(tmp_path) == {RUN_FILE, "logs/mine.txt"}
    work(tmp_path)
    with pytest.raises(RunDirectoryOccupied):
        prepare_run_directory(tmp_path, ONE)


def test_a_training_that_was_stopped_before_it_did_anything_is_in_nobody_s_way(
    tmp_path: Path,
) -> None:
    prepare_run_directory(tmp_path, ONE)
    prepare_run_directory(tmp_path, OTHER)

    work(tmp_path)
    prepare_run_directory(tmp_path, OTHER)


def test_a_directory_tells_that_it_holds_a_training(tmp_path: Path) -> None:
    assert not has_training_run(tmp_path)
    prepare_run_directory(tmp_path, ONE)
    assert has_training_run(tmp_path)
