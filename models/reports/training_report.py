"""The report of a cross-validation, from the files that the folds saved.

Importing this module loads TensorFlow.
"""

import html
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from models.data.dataset import Sample
from models.data.splits import LEAKAGE_WARNING
from models.evaluation.detailed_metrics import classification_metrics
from models.evaluation.metrics import score_masks
from models.recipe import Recipe
from models.reports import plots
from models.reports.error_analysis import draw_errors
from models.reports.page import (
    TITLES,
    Gallery,
    classification_section,
    errors_section,
    fill_template,
    format_number,
    html_figure,
    html_table,
    render_page,
)
from models.training.cross_validation import CrossValidation
from models.training.held_out import (
    HELD_OUT_FILE,
    HeldOutResult,
    flatten_metrics,
    read_held_out,
)
from models.training.loss_history import read_losses
from models.training.run_directory import REPORT
from models.training.summary import format_spread, published_metrics

_NO_LEAKAGE = """\
Each image was scored by a network that was not trained on it or a near-duplicate. Metrics apply to
this dataset; expect lower performance on other patients, hospitals and ultrasound systems."""


def write_training_report(
    directory: Path,
    recipe: Recipe,
    results: Mapping[str, Any],
    samples: Sequence[Sample],
    *,
    data: str,
    leaks: bool,
) -> Path:
    """Write ``report.html`` to the run ``directory`` and return its path.

    ``results`` are from `models.training.cross_validation.collect_results`, ``data`` is the name of
    the dataset.

    Raises:
        DatasetError: the results of a fold cannot be read.
    """
    homes = {fold: directory / "folds" / f"fold-{fold}" for fold in results["held_out_folds"]}
    folds = {fold: read_held_out(home / HELD_OUT_FILE)[0] for fold, home in homes.items()}
    cross_validation = CrossValidation(folds, recipe.classes, recipe.inference.class_bias)
    held_out = {fold: cross_validation.calibrated(fold) for fold in homes}
    errors = draw_errors(held_out, samples, homes, recipe)
    rows = [row for fold in held_out.values() for row in fold]
    page = render_training_report(homes, rows, recipe, results, errors, data=data, leaks=leaks)
    (directory / REPORT).write_text(page, encoding="utf-8")
    return directory / REPORT


def render_training_report(
    homes: Mapping[int, Path],
    held_out: Sequence[HeldOutResult],
    recipe: Recipe,
    results: Mapping[str, Any],
    errors: Gallery,
    *,
    data: str,
    leaks: bool,
) -> str:
    """Return the page.

    ``homes`` are the directories of the folds, ``held_out`` the calibrated results of all folds.
    """
    published = ""
    if recipe.published and recipe.published.metrics:
        source = recipe.published
        published = f"Published: {source.work}, on {source.data}; split: {source.split}."
    classes = ""
    if held_out[0].probabilities:
        metrics = classification_metrics(held_out, recipe.classes)
        svgs = plots.classification_plots(
            held_out,
            metrics,
            confidence_threshold=results["confidence_threshold"]["threshold"],
            classes=recipe.classes,
        )
        classes = classification_section(metrics, {**svgs, "losses": ""})
    body = fill_template(
        "training.html",
        headline=_headline_table(recipe, results),
        published=html.escape(published),
        classes=classes,
        segmentation=_segmentation_section(held_out, recipe) if held_out[0].overlap else "",
        errors=errors_section(errors),
        losses=_losses_section(homes),
    )
    folds = ", ".join(map(str, homes))
    return render_page(
        f"Cross-validation of recipe {recipe.name}",
        f"{len(held_out)} held-out images of {data}, folds {folds}."
        f" Initial weights: {results['initial_weights']}",
        LEAKAGE_WARNING if leaks else _NO_LEAKAGE,
        body,
    )


def _headline_table(recipe: Recipe, results: Mapping[str, Any]) -> str:
    measured = flatten_metrics(results["held_out_pooled"])
    spread, intervals = results["held_out_spread"], results["held_out_intervals"]
    published = published_metrics(recipe, results)
    known = measured.keys() | published.keys()
    rows = []
    for name in [*(x for x in TITLES if x in known), *(x for x in published if x not in TITLES)]:
        low, high = intervals.get(name, (None, None))
        row = [
            TITLES.get(name, name.replace("_", " ").capitalize()),
            format_number(measured.get(name)),
            f"{format_number(low)} to {format_number(high)}" if name in intervals else "–",
            format_spread(spread.get(name)),
        ]
        if published:
            published_name, value = published.get(name, (name, None))
            # The magnification, as in "0.985 (40x)".
            suffix = published_name.removeprefix(f"{name}_")
            note = f" ({suffix})" if suffix != published_name else ""
            row.append(format_number(value) + note)
        rows.append(row)
    header = ["Metric", "Value", "95 % interval", "Mean ± sd over folds"]
    return html_table([*header, *(["Published"] if published else [])], rows)


def _segmentation_section(held_out: Sequence[HeldOutResult], recipe: Recipe) -> str:
    parts = {"all lesions": held_out} | {
        name: [x for x in held_out if x.label == label] for label, name in enumerate(recipe.classes)
    }
    rows = []
    for name, results in parts.items():
        metrics = asdict(score_masks([x.overlap for x in results if x.overlap]))
        if images := metrics["images_with_lesion"]:
            keys = ("dice", "dice_median", "iou", "detection_rate")
            rows.append([name, str(images), *(format_number(metrics[key]) for key in keys)])
    header = ["Lesions", "Images", "Dice", "Median Dice", "IoU", "Detection rate"]
    return f"<h2>Segmentation</h2>{html_table(header, rows)}"


def _losses_section(homes: Mapping[int, Path]) -> str:
    """Plot the losses of each fold; those of an ensemble are saved next to its networks."""
    figures = []
    for fold, home in homes.items():
        _, run = read_held_out(home / HELD_OUT_FILE)
        saved = {"training": run.get("losses"), "validation": run.get("validation_losses")}
        curves = {name: curve for name, curve in saved.items() if curve} or read_losses(home)
        if curves:
            figures.append(html_figure(plots.plot_losses(curves), f"Training without fold {fold}."))
    return fill_template("losses.html", plots="".join(figures)) if figures else ""
