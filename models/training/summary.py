"""What a run found out, for ``summary.json`` and as a table beside what was published."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.recipe import Recipe

SUMMARY = "summary.json"
SHOWN = (
    *("accuracy", "balanced_accuracy", "macro_precision", "macro_recall", "macro_f1", "mcc"),
    *("gmean", "kappa"),
    *("macro_roc_auc", "macro_pr_auc", "malignant_recall", "ece"),
    *("dice", "iou", "normal_without_mask", "energy_inside_lesion", "pointing_game"),
)


def spread_over(folds: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float | None]]:
    """Mean and sample standard deviation of each figure over the folds that have it."""
    names = dict.fromkeys(name for fold in folds for name in fold)
    return {name: _spread([x[name] for x in folds if name in x]) for name in names}


def write_summary(
    directory: Path, recipe: Recipe, facts: Mapping[str, Any], *, protocol: str, asked_start: str
) -> Path:
    """Write ``summary.json``; return its path."""
    told = {
        "recipe_name": recipe.name,
        "protocol": protocol,
        "leaks": protocol == "random",
        "asked_start": asked_start,
        "published": recipe.published.model_dump(mode="json") if recipe.published else None,
        **facts,
    }
    file = directory / SUMMARY
    file.write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return file


def published_figures(recipe: Recipe, facts: Mapping[str, Any]) -> dict[str, tuple[str, float]]:
    """What was published of a recipe: its name here, to its name there and its value.

    What was published as ``accuracy_40x`` is the ``accuracy`` of a run on images of 40X; that of any
    other run is nothing that it measured.
    """
    figures = recipe.published.figures if recipe.published else {}
    here = f"_{facts.get('magnification')}x"
    return {name.removesuffix(here): (name, value) for name, value in figures.items()}


def table(recipe: Recipe, facts: Mapping[str, Any]) -> Iterator[str]:
    """Lines of a table: figure, published (where anything is), mean and deviation over folds."""
    published = published_figures(recipe, facts)
    spread = facts["held_out_spread"]
    head = ["figure", *(["published"] if published else []), "here, mean ± sd over folds"]
    yield "  ".join(f"{cell:<20}" for cell in head).rstrip()
    for name in [*published, *(x for x in SHOWN if x in spread and x not in published)]:
        theirs, value = published.get(name, (name, None))
        told = ["-" if value is None else f"{value:.3f}"] if published else []
        cells = [theirs, *told, spread_text(spread.get(name))]
        yield "  ".join(f"{cell:<20}" for cell in cells).rstrip()


def spread_text(spread: Mapping[str, float | None] | None) -> str:
    """Mean ± deviation with three decimals; "-" where there is none."""
    if spread is None or spread["mean"] is None:
        return "-"
    deviation = "" if spread["sd"] is None else f" ± {spread['sd']:.3f}"
    return f"{spread['mean']:.3f}{deviation}"


def _spread(values: Sequence[float]) -> dict[str, float | None]:
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return {"mean": float(np.mean(values)), "sd": deviation}
