"""`sonogate train`: folds, figures and presets."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from tests.sonogate.commands.conftest import CLASSIFIER, SEGMENTER, keras_warns, read_summary
from tests.sonogate.conftest import Run


def test_starting_weights_that_are_not_there_are_wrong_usage(
    run: Run, home: Path, data: Path, tmp_path: Path
) -> None:
    result = run("train", "default", "--data", data, "--backbone", tmp_path / "none.h5")
    assert result.exit_code == 2
    assert "is not a file" in result.stderr


def test_a_recipe_that_is_not_there_is_told_which_are(run: Run, home: Path, data: Path) -> None:
    result = run("train", "no-such", "--data", data)
    assert result.exit_code == 1
    assert "choose one of breakhis-attention-resnet50, default" in result.stderr


def test_a_fold_that_is_not_there_is_named_before_anything_is_trained(
    run: Run, home: Path, data: Path
) -> None:
    result = run("train", "default", "--data", data, "--folds", 2, "--fold", 7)
    assert result.exit_code == 1
    assert "fold 7 of data has no images" in result.stderr


@keras_warns
@pytest.mark.parametrize(("network", "figure"), [(CLASSIFIER, "accuracy"), (SEGMENTER, "dice")])
def test_a_recipe_is_trained_and_set_beside_what_was_published(
    train: Callable[..., Result], tmp_path: Path, network: str, figure: str
) -> None:
    result = train(network, "--fold", 1)
    assert result.exit_code == 0, result.output
    found = read_summary(tmp_path)
    assert found["held_out_folds"] == [1]
    assert found["initial_weights"] == "Random initialization."
    assert found["leaks"] is False
    mean = found["held_out_spread"][figure]["mean"]
    published = found["published"]["metrics"][figure]
    assert [figure, f"{published:.3f}", f"{mean:.3f}"] in [
        line.split() for line in result.stdout.splitlines()
    ]
    assert not (tmp_path / "out" / "preset").exists()
    page = (tmp_path / "out" / "report.html").read_text()
    assert f"<td>{published:.3f}</td>" in page
    assert ("<h2>Segmentation" in page) == (figure == "dice")


@keras_warns
def test_a_random_split_says_that_it_leaks_and_makes_no_preset(
    train: Callable[..., Result], tmp_path: Path
) -> None:
    result = train(SEGMENTER, "--protocol", "random")
    assert result.exit_code == 0, result.output
    assert "Data leakage: with protocol random" in result.stdout
    assert "Data leakage: with protocol random" in result.stderr
    assert "Data leakage: with protocol random" in (tmp_path / "out" / "report.html").read_text()
    assert read_summary(tmp_path)["leaks"] is True
    before = read_summary(tmp_path)

    refused = train(SEGMENTER, "--fold", 1)

    assert refused.exit_code == 1
    assert (
        "out contains another training run (different folds): choose another --out"
        in refused.stderr
    )
    assert read_summary(tmp_path) == before
    done = train(SEGMENTER, "--fold", 1, "--overwrite")
    assert done.exit_code == 0, done.output
    assert [x.name for x in (tmp_path / "out" / "folds").iterdir()] == ["fold-1"]
    assert read_summary(tmp_path)["leaks"] is False


def test_a_class_without_images_is_not_trained_for_hours(
    run: Run, home: Path, incomplete_data: Path
) -> None:
    result = run("train", "default", "--data", incomplete_data)

    assert result.exit_code == 1
    assert "data has no image of class normal" in result.stderr
    assert not (home / "training").exists()


@pytest.mark.parametrize("command", [["train", "default", "--data"], ["evaluate"]])
def test_a_folder_that_is_no_data_set_is_named(
    run: Run, home: Path, tmp_path: Path, command: list[str]
) -> None:
    result = run(*command, tmp_path)
    assert result.exit_code == 1
    assert (
        f"no images in folders named normal, benign, malignant in {tmp_path.name}" in result.stderr
    )
