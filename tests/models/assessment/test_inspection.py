from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from models.assessment.inspection import burned_in_marks, look, render, summary
from models.training.dataset import read_samples

TISSUE = np.random.default_rng(0).normal(90, 20, (200, 260)).clip(0, 190).astype(np.uint8)


def marked() -> np.ndarray:
    picture = Image.fromarray(TISSUE)
    draw = ImageDraw.Draw(picture)
    for x, y in ((60, 80), (150, 120)):
        draw.line((x - 5, y, x + 5, y), fill=255)
        draw.line((x, y - 5, x, y + 5), fill=255)
    draw.text((20, 180), "RT UIQ", fill=255)
    return np.asarray(picture)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A set whose malignant images alone carry marks, and one of them twice."""
    rng = np.random.default_rng(1)
    for name in ("normal", "benign", "malignant"):
        (tmp_path / name).mkdir()
        for number in range(2):
            pixels = marked() if name == "malignant" else rng.permuted(TISSUE, axis=0)
            Image.fromarray(pixels).save(tmp_path / name / f"{number}.png")
    return tmp_path


def test_callipers_and_letters_count_and_tissue_does_not() -> None:
    assert burned_in_marks(TISSUE) == 0
    assert burned_in_marks(marked()) >= 5


def test_a_bright_line_across_the_picture_is_tissue() -> None:
    pixels = TISSUE.copy()
    pixels[100:103, 40:220] = 250

    assert burned_in_marks(pixels) == 0


def test_a_shortcut_shows_in_the_figures(folder: Path) -> None:
    told = summary(list(look(read_samples(folder, folds=2))))

    assert told["images"] == 6
    assert told["classes"]["malignant"]["share_with_marks"] == 1
    assert told["classes"]["benign"]["share_with_marks"] == 0
    assert told["images_with_a_near_duplicate"] == 2
    assert told["classes"]["normal"]["median_width_px"] == 260
    assert sum(sum(counts.values()) for counts in told["folds"].values()) == 6


def test_the_page_needs_nothing_else_and_shows_the_duplicates(folder: Path) -> None:
    page = render(list(look(read_samples(folder, folds=2))), data="a <set>")

    assert page.count("<svg") == 6
    assert page.count("data:image/jpeg") == 2
    assert "a &lt;set&gt;" in page
    assert "$" not in page
    assert 'src="http' not in page
