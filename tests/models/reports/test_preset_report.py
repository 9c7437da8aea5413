"""The report of a small preset on phantoms."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from models.networks.backbone import build_backbone, initialize_batch_norm
from models.networks.joint import build_joint
from models.recipe import Recipe
from models.reports.preset_report import evaluate_preset, write_preset_report
from models.training.cross_validation import uncalibrated_preset
from models.training.loss_history import write_losses
from models.training.saving import save_preset
from tests.models.conftest import SIZE_PX, write_phantoms


@pytest.fixture
def preset(tmp_path: Path, small: Callable[..., Recipe]) -> Path:
    """A preset with random weights, whose outputs differ from image to image."""
    rng, backbone = np.random.default_rng(0), build_backbone(SIZE_PX)
    noise = rng.uniform(-1, 1, (16, SIZE_PX, SIZE_PX, 3)).astype(np.float32)
    initialize_batch_norm(backbone, noise)
    save_preset(tmp_path / "preset", uncalibrated_preset(small("joint")), build_joint(backbone))
    write_losses(tmp_path / "preset", [[2.0, 1.0]])
    return tmp_path / "preset"


@pytest.mark.filterwarnings(
    # Keras 3.15 reads TensorFlow variables in a way that NumPy 2 warns about.
    "ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"
)
def test_a_report_contains_all_metrics_and_no_external_resources(
    preset: Path, tmp_path: Path
) -> None:
    samples = write_phantoms(tmp_path / "data", images_per_class=2)

    metrics, page = evaluate_preset(preset, samples, data="phantoms")
    write_preset_report(tmp_path, metrics, page)

    report = json.loads((tmp_path / "report.json").read_text())
    assert report["classification"]["images"] == 6
    assert {"headline", "segmentation", "explanation", "randomization", "robustness"} <= set(report)
    head, block = (report["randomization"][name] for name in ("class head", "and last block"))
    assert max(head, block) < 0.95, "both change the heat maps"
    assert head != block
    html = (tmp_path / "report.html").read_text()
    assert html.count("<svg") == 6, "the last plot is that of the training losses"
    aurc = report["classification"]["risk_coverage"]["aurc"]
    assert f"Area under the curve: {aurc:.3f}" in html
    assert "not a medical device" in html
    assert "$" not in html.replace("$title", "")
    assert 'src="http' not in html
    assert 'href="http' not in html.replace('xlink:href="http', "")
