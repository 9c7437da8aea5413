"""The summary of a cross-validation: ``summary.json``, and a table with the published metrics."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.recipe import Recipe

SUMMARY = "summary.json"
TABLE_METRICS = (
    *("accuracy", "balanced_accuracy", "macro_precision", "macro_recall", "macro_f1", "mcc"),
    *("gmean", "kappa"),
    *("macro_roc_auc", "macro_pr_auc", "malignant_recall", "ece"),
    *("dice", "iou", "normal_without_mask", "energy_inside_lesion", "pointing_game"),
)


def summarize_folds(folds: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float | None]]:
    """Return mean and sample standard deviation of each metric over the folds that have it."""
    summary: dict[str, dict[str, float | None]] = {}
    for name in dict.fromkeys(name for fold in folds for name in fold):
        values = [fold[name] for fold in folds if name in fold]
        deviation = float(np.std(values, ddof=1)) if len(values) > 1 else None
        summary[name] = {"mean": float(np.mean(values)), "sd": deviation}
    return summary


def write_summary(
    directory: Path,
    recipe: Recipe,
    results: Mapping[str, Any],
    *,
    protocol: str,
    requested_weights: str,
) -> Path:
    """Write ``summary.json`` and return its path.

    ``results`` are from `models.training.cross_validation.collect_results`.
    """
    summary = {
        "recipe_name": recipe.name,
        "protocol": protocol,
        "leaks": protocol == "random",
        "requested_weights": requested_weights,
        "published": recipe.published.model_dump(mode="json") if recipe.published else None,
        **results,
    }
    file = directory / SUMMARY
    file.write_text(json.dumps(summary, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return file


def published_metrics(recipe: Recipe, results: Mapping[str, Any]) -> dict[str, tuple[str, float]]:
    """Return published metrics by the name of the metric measured here.

    Each is given with its published name and value. ``accuracy_40x`` is compared with ``accuracy``
    if the images were taken at 40x, otherwise with nothing.
    """
    metrics = recipe.published.metrics if recipe.published else {}
    suffix = f"_{results.get('magnification')}x"
    return {name.removesuffix(suffix): (name, value) for name, value in metrics.items()}


def format_table(recipe: Recipe, results: Mapping[str, Any]) -> Iterator[str]:
    """Yield lines of a table: metric, published value if any, mean ± sd over the folds."""
    published = published_metrics(recipe, results)
    spread = results["held_out_spread"]
    header = ["metric", *(["published"] if published else []), "mean ± sd over folds"]
    rows = [header]
    for name in [*published, *(x for x in TABLE_METRICS if x in spread and x not in published)]:
        published_name, value = published.get(name, (name, None))
        published_cell = ["-" if value is None else f"{value:.3f}"] if published else []
        rows.append([published_name, *published_cell, format_spread(spread.get(name))])
    for row in rows:
        yield "  ".join(f"{cell:<20}" for cell in row).rstrip()


def format_spread(spread: Mapping[str, float | None] | None) -> str:
    """Format mean ± standard deviation with three decimals; "-" if undefined."""
    if spread is None or spread["mean"] is None:
        return "-"
    deviation = "" if spread["sd"] is None else f" ± {spread['sd']:.3f}"
    return f"{spread['mean']:.3f}{deviation}"
