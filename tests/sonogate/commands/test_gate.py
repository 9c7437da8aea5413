"""`sonogate gate`: the input gate alone, counted."""

import json
from pathlib import Path

import numpy as np
import pytest
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
    (folder / "cut.png").write_bytes((folder / "a.png").read_bytes()[:200])
    result = run("gate", str(folder))
    assert result.exit_code == 0, result.output
    figures = json.loads(result.output)
    assert (figures["images"], figures["refused"]) == (3, 1)
    assert figures["rate"] == pytest.approx(1 / 3), "what is damaged was not refused by the gate"
    assert figures["by_code"] == {"too-dark": 1}
    assert [Path(each["input"]).name for each in figures["refused_files"]] == ["black.png"]
    assert {Path(each["input"]).name: each["reason"] for each in figures["damaged_files"]} == {
        "cut.png": "undecodable-frame",
        "text.jpg": "not-an-image",
    }


def test_no_real_breast_image_is_refused(run: Run, shared_data: Path) -> None:
    some = sorted((shared_data / "busi").glob("*/*(?).png"))
    assert len(some) > 20
    figures = json.loads(run("gate", *map(str, some)).output)
    assert (figures["images"], figures["by_code"]) == (len(some), {})
