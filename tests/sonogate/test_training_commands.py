"""`sonogate train` and `evaluate`: figures, and what can be wrong with a data set."""

import json
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from models.phantom import make_phantom
from tests.sonogate.conftest import Run, sonogate


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two small phantoms of each class, laid out as for training."""
    folder = tmp_path / "data"
    for kind, name in (("normal", "normal"), ("cyst", "benign"), ("spiculated", "malignant")):
        (folder / name).mkdir(parents=True)
        for seed in range(2):
            phantom = make_phantom(kind, seed=seed, height=96, width=128, spacing_mm=0.35)
            Image.fromarray(phantom.image).save(folder / name / f"{seed}.png")
            Image.fromarray(phantom.mask).save(folder / name / f"{seed}_mask.png")
    return folder


def test_evaluate_prints_the_figures_of_a_fold_as_json(
    data: Path, environment: dict[str, str]
) -> None:
    done = subprocess.run(
        sonogate("evaluate", data, "--fold", 1),
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


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_a_folder_that_is_no_data_set_is_named(
    run: Run, home: Path, tmp_path: Path, command: str
) -> None:
    out = ["--out", tmp_path / "out"] if command == "train" else []
    result = run(command, tmp_path, *out)
    assert result.exit_code == 1
    assert (
        f"no images in folders named normal, benign, malignant in {tmp_path.name}" in result.stderr
    )


def test_starting_weights_that_are_not_there_are_wrong_usage(
    run: Run, home: Path, data: Path, tmp_path: Path
) -> None:
    result = run("train", data, "--out", tmp_path / "out", "--backbone", tmp_path / "none.h5")
    assert result.exit_code == 2
    assert "is not a file" in result.stderr


def test_a_fold_without_images_is_an_error(run: Run, home: Path, data: Path) -> None:
    result = run("evaluate", data, "--fold", 9)
    assert result.exit_code == 1
    assert "fold 9 of data holds no image" in result.stderr
