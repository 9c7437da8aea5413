"""`sonogate evaluate`: figures, and which images the preset was trained on."""

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from models.data.dataset import read_samples
from models.data.digests import TRAINING_IMAGES, file_digest, list_training_images
from models.preset import DEFAULT_PRESET, read_preset, write_preset
from models.training.loss_history import write_losses
from tests.sonogate.conftest import Run, sonogate


@pytest.fixture
def preset_trained_on_fold_0(data: Path, tmp_path: Path) -> Path:
    """A preset that says it was trained on fold 0 of the data."""
    home = tmp_path / "preset_trained_on_fold_0"
    shutil.copytree(DEFAULT_PRESET, home)
    seen = list_training_images(file_digest(x.image) for x in read_samples(data) if x.fold == 0)
    preset = read_preset(home)
    write_preset(home, replace(preset, trained={**preset.trained, TRAINING_IMAGES: seen}))
    return home


@pytest.fixture
def preset_without_record(preset_trained_on_fold_0: Path) -> Path:
    """A preset of a version that kept no account of what it was trained on."""
    preset = read_preset(preset_trained_on_fold_0)
    told = {key: x for key, x in preset.trained.items() if key != TRAINING_IMAGES}
    write_preset(preset_trained_on_fold_0, replace(preset, trained=told))
    return preset_trained_on_fold_0


def test_evaluate_prints_the_figures_of_what_was_not_trained_on_as_json(
    data: Path, preset_trained_on_fold_0: Path, environment: dict[str, str]
) -> None:
    done = subprocess.run(
        sonogate("evaluate", data, "--preset", preset_trained_on_fold_0, "--unseen"),
        env=environment,
        capture_output=True,
        text=True,
        timeout=180,
        check=True,
    )
    figures = json.loads(done.stdout)
    assert figures["classification"]["images"] == 3
    assert figures["segmentation"]["images_with_lesion"] == 2
    assert len(figures["preset"]["classifier_digest"]) == 64
    assert figures["images_trained_on"] == 0
    assert "3 images: the preset was trained on none of them." in done.stderr


def test_a_fold_that_was_trained_on_is_not_scored_as_one_held_out(
    run: Run, home: Path, data: Path, preset_trained_on_fold_0: Path
) -> None:
    result = run("evaluate", data, "--preset", preset_trained_on_fold_0, "--fold", 0)

    assert result.exit_code == 1
    assert "trained on 3 of 3 images of fold 0" in result.stderr
    assert "Use --unseen to exclude" in result.stderr


def test_evaluate_tells_how_many_images_were_trained_on(
    run: Run, home: Path, data: Path, preset_trained_on_fold_0: Path
) -> None:
    result = run("evaluate", data, "--preset", preset_trained_on_fold_0)

    assert "6 images: the preset was trained on 3 of them" in result.stderr
    assert json.loads(result.stdout)["images_trained_on"] == 3


def test_a_preset_that_kept_no_account_cannot_leave_out_what_it_saw(
    run: Run, home: Path, data: Path, preset_without_record: Path
) -> None:
    result = run("evaluate", data, "--preset", preset_without_record, "--unseen")

    assert result.exit_code == 1
    assert "does not record its training images" in result.stderr


def test_a_fold_without_images_is_an_error(run: Run, home: Path, data: Path) -> None:
    result = run("evaluate", data, "--fold", 9)
    assert result.exit_code == 1
    assert "fold 9 of data has no images" in result.stderr


def test_a_report_lies_where_it_was_asked_for(
    run: Run, home: Path, data: Path, preset_without_record: Path
) -> None:
    out = home / "report"
    write_losses(preset_without_record, [[2.0, 1.0], [3.0, 2.5]])
    result = run(
        "evaluate", data, "--preset", preset_without_record, "--fold", 0, "--out", out, "--quick"
    )
    assert result.exit_code == 0, result.output
    assert f"Wrote {out / 'report.html'}" in result.stdout
    figures = json.loads((out / "report.json").read_text())
    assert figures["data"].startswith("data, fold 0 (the preset does not record which of them")
    assert figures["images_trained_on"] is None
    assert (
        "the preset does not record which of them it was trained on"
        in (out / "report.html").read_text()
    )
    assert "robustness" not in figures
    assert "network 2</text>" in (out / "report.html").read_text(), "a curve for each network"


def test_a_quick_report_needs_a_place_to_go(run: Run, home: Path, data: Path) -> None:
    result = run("evaluate", data, "--quick")

    assert result.exit_code == 2
    assert "--quick requires --out" in result.stderr


def test_evaluate_tells_what_has_no_figures(run: Run, home: Path, incomplete_data: Path) -> None:
    result = run("evaluate", incomplete_data)

    assert result.exit_code == 0, result.output
    assert "No image is of class normal" in result.stderr
    assert "class normal: 2 images" in result.stderr
    figures = json.loads(result.stdout)
    assert figures["classification"]["by_class"]["normal"]["recall"] is None
    assert figures["segmentation"]["images_without_lesion"] == 0
    assert figures["segmentation"]["normal_without_mask"] is None
