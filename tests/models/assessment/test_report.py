"""A whole report over a few phantoms: the page holds all that it shows."""

import json
from pathlib import Path

import pytest
from PIL import Image

from models.assessment.report import assess, write
from models.phantom import make_phantom
from models.training.dataset import read_samples


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantoms")
    for kind, name in (("normal", "normal"), ("cyst", "benign"), ("spiculated", "malignant")):
        (folder / name).mkdir()
        for seed in range(2):
            phantom = make_phantom(kind, seed=seed, height=96, width=128, spacing_mm=0.35)
            Image.fromarray(phantom.image).save(folder / name / f"{seed}.png")
            Image.fromarray(phantom.mask).save(folder / name / f"{seed}_mask.png")
    return folder


def test_a_report_holds_every_figure_and_needs_nothing_else(data: Path, tmp_path: Path) -> None:
    figures, page = assess(None, read_samples(data), data="phantoms")
    write(tmp_path, figures, page)

    told = json.loads((tmp_path / "report.json").read_text())
    assert told["classification"]["images"] == 6
    assert {"headline", "segmentation", "explanation", "randomization", "robustness"} <= set(told)
    head, block = (told["randomization"][name] for name in ("class head", "and last block"))
    assert max(head, block) < 0.95, "each spoils what the map is made of"
    assert head != block
    html = (tmp_path / "report.html").read_text()
    assert html.count("<svg") == 6  # the last: how training went, which the preset came with
    assert f"Area under it: {told['classification']['risk_coverage']['aurc']:.3f}" in html
    assert "not a medical device" in html
    assert "$" not in html.replace("$title", "")
    assert 'src="http' not in html
    assert 'href="http' not in html.replace('xlink:href="http', "")
