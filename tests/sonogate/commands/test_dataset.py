"""`sonogate dataset inspect`."""

import json
from pathlib import Path

from tests.sonogate.commands.conftest import save_noise
from tests.sonogate.conftest import Run


def test_what_contradicts_is_listed_and_what_lacks_is_told(
    run: Run, home: Path, incomplete_data: Path, tmp_path: Path
) -> None:
    result = run("dataset", "inspect", incomplete_data, "--out", tmp_path / "page.html")

    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert [x["image"] for x in told["excluded"]] == ["benign/1.png", "malignant/1.png"]
    assert (told["images"], told["empty_classes"]) == (2, ["normal"])
    assert "near-duplicates have contradicting labels: 2 images" in result.stderr
    assert "No image is of class normal" in result.stderr
    assert "benign/1.png" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_breakhis_has_two_classes_and_is_read_by_magnification(
    run: Run, home: Path, tmp_path: Path
) -> None:
    for seed, name in enumerate(("B_A-14-1-40", "M_DC-14-2-40", "M_DC-14-2-100")):
        save_noise(tmp_path / "BreakHis" / f"SOB_{name}-001.png", seed)

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
