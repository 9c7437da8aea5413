from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from models.data.dataset import read_dataset
from models.reports.dataset_report import (
    count_burned_in_marks,
    measure_images,
    render_dataset_report,
    summarize_dataset,
)

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
    """A dataset in which only malignant images have marks, and one is a duplicate."""
    rng = np.random.default_rng(1)
    for name in ("normal", "benign", "malignant"):
        (tmp_path / name).mkdir()
        for number in range(2):
            pixels = marked() if name == "malignant" else rng.permuted(TISSUE, axis=0)
            Image.fromarray(pixels).save(tmp_path / name / f"{number}.png")
    return tmp_path


def test_calipers_and_letters_are_counted_and_tissue_is_not() -> None:
    assert count_burned_in_marks(TISSUE) == 0
    assert count_burned_in_marks(marked()) >= 5


def test_a_long_bright_line_is_not_counted() -> None:
    pixels = TISSUE.copy()
    pixels[100:103, 40:220] = 250

    assert count_burned_in_marks(pixels) == 0


def test_marks_are_summarized_by_class(folder: Path) -> None:
    data = read_dataset(folder, folds=2)
    summary = summarize_dataset(data, list(measure_images(data.samples)))

    assert summary["images"] == 6
    assert (summary["empty_classes"], summary["excluded"], summary["not_annotated"]) == ([], [], 4)
    assert summary["classes"]["malignant"]["share_with_marks"] == 1
    assert summary["classes"]["benign"]["share_with_marks"] == 0
    assert summary["images_with_a_near_duplicate"] == 2
    assert summary["classes"]["normal"]["median_width_px"] == 260
    assert sum(sum(counts.values()) for counts in summary["folds"].values()) == 6


def test_the_page_is_self_contained_and_shows_duplicates(folder: Path) -> None:
    data = read_dataset(folder, folds=2)
    page = render_dataset_report(data, list(measure_images(data.samples)), name="a <set>")

    assert page.count("<svg") == 6
    assert page.count("data:image/jpeg") == 2
    assert "a &lt;set&gt;" in page
    assert "$" not in page
    assert 'src="http' not in page


def test_images_with_contradicting_labels_are_listed_and_shown(folder: Path) -> None:
    for name in ("benign", "malignant"):
        Image.fromarray(TISSUE).save(folder / name / "twin.png")
    data = read_dataset(folder, folds=2)
    seen = list(measure_images(data.samples))

    summary, page = summarize_dataset(data, seen), render_dataset_report(data, seen, name="set")

    assert summary["images"] == 6
    assert [(x["image"], x["class"]) for x in summary["excluded"]] == [
        ("benign/twin.png", "benign"),
        ("malignant/twin.png", "malignant"),
    ]
    assert len({x["duplicate_group"] for x in summary["excluded"]}) == 1
    assert '<th scope="row">malignant/twin.png</th>' in page
    assert "<figcaption>twin: benign</figcaption>" in page


def test_an_excluded_image_without_a_group_is_listed(folder: Path) -> None:
    (folder / "manifest.csv").write_text(
        "image,class,label_conflict\nnormal/0.png,normal,0\nbenign/gone.png,benign,1\n"
    )
    data = read_dataset(folder, folds=2)

    page = render_dataset_report(data, list(measure_images(data.samples)), name="set")

    assert '<th scope="row">benign/gone.png</th><td>benign</td><td>–</td>' in page


def test_datasets_with_two_classes_are_summarized(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for letter, slide in (("B", "A-14-1AB"), ("B", "F-14-2"), ("M", "DC-14-3"), ("M", "LC-14-4")):
        pixels = rng.integers(0, 255, (40, 60), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"SOB_{letter}_{slide}-100-001.png")
    data = read_dataset(tmp_path, folds=2, magnification=100)
    seen = list(measure_images(data.samples))

    summary, page = (
        summarize_dataset(data, seen),
        render_dataset_report(data, seen, name="BreakHis"),
    )

    assert {name: x["images"] for name, x in summary["classes"].items()} == {
        "benign": 2,
        "malignant": 2,
    }
    assert summary["empty_classes"] == []
    head = '<th scope="col">Fold</th><th scope="col">Benign</th><th scope="col">Malignant</th>'
    assert head in page
    assert page.count("<svg") == 6
