"""The evaluation report of a preset, as ``report.json`` and ``report.html``.

Importing this module loads TensorFlow.
"""

import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dicom.terms.classification import CLASSES
from models.data.dataset import Sample
from models.data.images import read_rgb
from models.evaluation.detailed_metrics import (
    classification_metrics,
    headline_with_intervals,
    localization_metrics,
    segmentation_metrics,
)
from models.evaluation.evaluated_images import EvaluatedImage, evaluate_images
from models.evaluation.metrics import nan_to_none
from models.evaluation.robustness import randomization_test, robustness
from models.predictor import Predictor
from models.preset import DEFAULT_PRESET
from models.reports import plots
from models.reports.error_analysis import (
    CLASSIFICATION_NOTE,
    MAX_TILES,
    format_caption,
    most_confident_errors,
)
from models.reports.page import (
    TITLES,
    Gallery,
    classification_section,
    errors_section,
    fill_template,
    format_number,
    html_figure,
    html_table,
    metrics_table,
    render_page,
)
from models.training.held_out import image_name
from models.training.loss_history import read_losses

_RANDOMIZATION_IMAGES = 40
"""Number of images with a lesion in the randomization test."""
_WARNING = """\
Metrics apply to these images only. They are optimistic for images that the networks were trained
on, which the model card describes."""


def evaluate_preset(
    directory: Path | None, samples: Sequence[Sample], *, data: str, quick: bool = False
) -> tuple[dict[str, Any], str]:
    """Evaluate the preset in ``directory`` (default: the shipped one).

    Returns the metrics as plain values, and the page. ``quick`` omits robustness and randomization
    test, which predict each image many times. Raises `models.types.ModelError`.
    """
    predictor = Predictor.load(directory)
    results = evaluate_images(predictor, samples)
    report: dict[str, Any] = {
        "preset": asdict(predictor.info),
        "data": data,
        "headline": headline_with_intervals(results),
        "classification": classification_metrics(results),
        "segmentation": segmentation_metrics(results),
        "explanation": localization_metrics(results),
    }
    if not quick:
        lesions = [result.sample for result in results if result.overlap.true_px]
        # Samples are sorted by class, so every n-th sample covers all classes.
        lesions = lesions[:: max(1, len(lesions) // _RANDOMIZATION_IMAGES)]
        report["randomization"] = randomization_test(directory or DEFAULT_PRESET, lesions)
        report["robustness"] = robustness(predictor, samples)
    curves = read_losses(directory or DEFAULT_PRESET)
    svgs = plots.classification_plots(
        results,
        report["classification"],
        confidence_threshold=predictor.info.confidence_threshold,
    )
    svgs["losses"] = html_figure(plots.plot_losses(curves), "Training loss.") if curves else ""
    page = render_preset_report(report, svgs, _error_gallery(predictor, results))
    return nan_to_none(report), page


def write_preset_report(out: Path, report: Mapping[str, Any], page: str) -> None:
    """Write ``report.json`` and ``report.html`` to ``out``."""
    out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(report, indent=2, ensure_ascii=False) + "\n"
    (out / "report.json").write_text(text, encoding="utf-8")
    (out / "report.html").write_text(page, encoding="utf-8")


def render_preset_report(
    report: Mapping[str, Any], svgs: Mapping[str, str], gallery: Gallery
) -> str:
    """Return the page. ``svgs`` are the plots by name."""
    preset, classes = report["preset"], report["classification"]
    headline = [
        [
            TITLES[name],
            format_number(metric["value"]),
            f"{format_number(metric['low'])} to {format_number(metric['high'])}",
        ]
        for name, metric in report["headline"].items()
    ]
    body = fill_template(
        "preset.html",
        headline=html_table(["Metric", "Value", "95 % interval"], headline),
        classes=classification_section(classes, svgs),
        masks=_mask_table(report["segmentation"]),
        checks=_checks_section(report),
        errors=errors_section(gallery),
        digest=html.escape(preset["classifier_digest"]),
    )
    title = f"Evaluation of {preset['name']} {preset['version']}"
    lead = f"Evaluated on {classes['images']} images of {report['data']}."
    return render_page(title, lead, _WARNING, body)


def _mask_table(segmentation: Mapping[str, Any]) -> str:
    parts = {
        "all lesions": segmentation["all"],
        **segmentation["by_class"],
        **segmentation["by_size"],
    }
    keys = ("hd95_share_of_diagonal", "pixel_accuracy", "detection_rate")
    rows = [
        [
            name,
            str(metrics["images"]),
            format_number(metrics["dice"]),
            format_number(metrics["iou"]),
            format_number(metrics["hd95_px"], 1),
            *(format_number(metrics[key]) for key in keys),
        ]
        for name, metrics in parts.items()
    ]
    header = ["Lesions", "Images", "Dice", "IoU", "HD95 (px)", "HD95 / diagonal"]
    return html_table([*header, "Pixel accuracy", "Detection rate"], rows)


def _checks_section(report: Mapping[str, Any]) -> str:
    parts = [("Lesion localization by Grad-CAM", metrics_table(report["explanation"], TITLES))]
    if "randomization" in report:
        title = "Rank correlation of heat maps after randomizing weights"
        parts.append((title, metrics_table(report["randomization"])))
    if "robustness" in report:
        keys = ("accuracy", "macro_roc_auc", "dice", "predictions_changed")
        rows = [
            [name, *(format_number(metrics[key]) for key in keys)]
            for name, metrics in report["robustness"].items()
        ]
        header = ["Image change", "Accuracy", "Macro ROC-AUC", "Dice", "Predictions changed"]
        parts.append(("Robustness", html_table(header, rows)))
    return "".join(f"<h3>{title}</h3>{table}" for title, table in parts)


def _error_gallery(predictor: Predictor, results: Sequence[EvaluatedImage]) -> Gallery:
    errors, tiles = most_confident_errors(results), []
    for result in errors[:MAX_TILES]:
        pixels, lesion = result.sample.read()
        (prediction,) = predictor.predict([pixels])
        rgb = read_rgb(result.sample.image)
        tile = plots.render_tile(rgb, lesion, prediction.mask, prediction.heatmap)
        tiles.append((format_caption(image_name(result.sample), result, CLASSES), tile))
    return Gallery(tiles, len(errors), CLASSIFICATION_NOTE)
