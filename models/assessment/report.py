"""A preset judged on a folder of labeled images: plain values for JSON, and a page.

Importing this module loads TensorFlow.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dicom.terms.classification import CLASSES
from models.assessment import plots
from models.assessment.checks import randomization, robustness
from models.assessment.figures import classification, explanation, segmentation, with_intervals
from models.assessment.judged import Judged, judge
from models.assessment.mistakes import CLASSES_NOTE, SHOWN, caption, surest_mistakes
from models.assessment.page import Gallery, figure, render
from models.predictor import Predictor
from models.preset import DEFAULT_PRESET
from models.training.dataset import Sample
from models.training.loss_history import read_losses
from models.training.outcomes import image_name
from models.training.pictures import read_rgb

_RANDOMIZED = 40
"""Images with a lesion on which weights are spoilt: a mean over more says the same."""


def assess(
    directory: Path | None, samples: Sequence[Sample], *, data: str, quick: bool = False
) -> tuple[dict[str, Any], str]:
    """Judge the preset in ``directory`` (default: shipped); return the figures and the page.

    ``quick`` leaves out robustness and randomization, which predict each image many times.
    Raises `models.types.ModelError`.
    """
    predictor = Predictor.load(directory)
    rows = judge(predictor, samples)
    figures: dict[str, Any] = {
        "preset": asdict(predictor.info),
        "data": data,
        "headline": with_intervals(rows),
        "classification": classification(rows),
        "segmentation": segmentation(rows),
        "explanation": explanation(rows),
    }
    if not quick:
        lesions = [row.sample for row in rows if row.overlap.true_px]
        # Data sets are listed class by class: every n-th is of all of them.
        lesions = lesions[:: max(1, len(lesions) // _RANDOMIZED)]
        figures["randomization"] = randomization(directory or DEFAULT_PRESET, lesions)
        figures["robustness"] = robustness(predictor, samples)
    page = render(figures, _plots(rows, figures, directory), _gallery(predictor, rows))
    return plain(figures), page


def write(out: Path, figures: dict[str, Any], page: str) -> None:
    """Write ``report.json`` and ``report.html``."""
    out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(figures, indent=2, ensure_ascii=False) + "\n"
    (out / "report.json").write_text(text, encoding="utf-8")
    (out / "report.html").write_text(page, encoding="utf-8")


def plain(value: Any) -> Any:
    """NaN, which JSON does not know, as None, wherever it stands."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return None if isinstance(value, float) and value != value else value  # noqa: PLR0124


def _plots(
    rows: Sequence[Judged], figures: dict[str, Any], directory: Path | None
) -> dict[str, str]:
    curves = read_losses(directory or DEFAULT_PRESET)
    below = figures["preset"]["confidence_threshold"]
    return {
        **plots.of_classes(rows, figures["classification"], confidence_threshold=below),
        "losses": figure(plots.losses(curves), "While it was trained.") if curves else "",
    }


def _gallery(predictor: Predictor, rows: Sequence[Judged]) -> Gallery:
    wrong = surest_mistakes(rows)
    tiles = [
        (caption(image_name(row.sample), row, CLASSES), _drawn(predictor, row))
        for row in wrong[:SHOWN]
    ]
    return Gallery(tiles, len(wrong), CLASSES_NOTE)


def _drawn(predictor: Predictor, row: Judged) -> str:
    pixels, lesion = row.sample.read()
    (said,) = predictor.predict([pixels])
    return plots.tile(read_rgb(row.sample.image), lesion, said.mask, said.heatmap)
