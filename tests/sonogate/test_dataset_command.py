"""Folders of labeled images on the command line: what they hold, and what they lack."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.sonogate.conftest import Run


def save(file: Path, seed: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (64, 80), np.uint8)
    Image.fromarray(pixels).save(file)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two benign and two malignant images, one of either the same; none normal, none outlined."""
    for name, first in (("benign", 0), ("malignant", 1)):
        for seed in (first, first + 1):
            save(tmp_path / "data" / name / f"{seed}.png", seed)
    return tmp_path / "data"


def test_what_contradicts_is_listed_and_what_lacks_is_told(
    run: Run, home: Path, data: Path, tmp_path: Path
) -> None:
    result = run("dataset", "inspect", data, "--out", tmp_path / "page.html")

    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert [x["image"] for x in told["left_out"]] == ["benign/1.png", "malignant/1.png"]
    assert (told["images"], told["empty_classes"]) == (2, ["normal"])
    assert "near-duplicates contradict the label: 2 images" in result.stderr
    assert "No image is of class normal" in result.stderr
    assert "benign/1.png" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_breakhis_has_two_classes_and_is_read_by_magnification(
    run: Run, home: Path, tmp_path: Path
) -> None:
    for seed, name in enumerate(("B_A-14-1-40", "M_DC-14-2-40", "M_DC-14-2-100")):
        save(tmp_path / "BreakHis" / f"SOB_{name}-001.png", seed)

    images = {
        magnification: json.loads(
            run(
                "dataset", "inspect", tmp_path / "BreakHis", "--magnification", magnification
            ).stdout
        )["classes"]
        for magnification in (40, 100)
    }

    assert list(images[40]) == ["benign", "malignant"]
    assert list(images[100]) == ["malignant"]


def test_a_class_without_images_is_not_trained_for_hours(run: Run, home: Path, data: Path) -> None:
    result = run("train", "default", "--data", data)

    assert result.exit_code == 1
    assert "data holds no image of class normal" in result.stderr
    assert not (home / "training").exists()


def test_evaluate_tells_what_has_no_figures(run: Run, home: Path, data: Path) -> None:
    result = run("evaluate", data)

    assert result.exit_code == 0, result.output
    assert "No image is of class normal" in result.stderr
    assert "Without a mask, though not of class normal: 2;" in result.stderr
    figures = json.loads(result.stdout)
    assert figures["classification"]["by_class"]["normal"]["recall"] is None
    assert figures["segmentation"]["images_without_lesion"] == 0
    assert figures["segmentation"]["normal_without_mask"] is None
