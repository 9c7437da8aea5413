"""`sonogate gate`: the input gate alone, counted."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from tests.sonogate import pictures
from tests.sonogate.conftest import Run


def test_it_counts_by_code_and_passes_masks_over(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    pictures.png(folder / "a.png")
    pictures.still(folder / "b.dcm")
    Image.fromarray(np.zeros((100, 100), np.uint8)).save(folder / "black.png")
    Image.fromarray(np.zeros((100, 100), np.uint8)).save(folder / "a_mask.png")
    Image.fromarray(np.zeros((100, 100), np.uint8)).save(folder / "a_mask_1.png")
    (folder / "text.jpg").write_text("no picture")
    result = run("gate", str(folder))
    assert result.exit_code == 0, result.output
    figures = json.loads(result.output)
    assert (figures["images"], figures["refused"], figures["rate"]) == (4, 2, 0.5)
    assert figures["by_code"] == {"too-dark": 1, "not-a-picture": 1}
    assert {Path(each["input"]).name: each["refused"] for each in figures["which"]} == {
        "black.png": "too-dark",
        "text.jpg": "not-a-picture",
    }


def test_no_real_breast_image_is_refused(run: Run, shared_data: Path) -> None:
    some = sorted((shared_data / "busi").glob("*/*(?).png"))
    assert len(some) > 20
    figures = json.loads(run("gate", *map(str, some)).output)
    assert (figures["images"], figures["by_code"]) == (len(some), {})
