"""A page of what cross-validation found, of any recipe, drawn from what the folds left on disk.

Importing this module loads TensorFlow.
"""

import html
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from models.assessment import plots
from models.assessment.figures import classification
from models.assessment.mistakes import draw_mistakes
from models.assessment.page import (
    TITLES,
    Gallery,
    classes_section,
    figure,
    filled,
    mistakes_section,
    number,
    table,
    whole_page,
)
from models.evaluation import score_masks
from models.recipe import Recipe
from models.training.claim import REPORT
from models.training.cross_validation import OUTCOMES, CrossValidation
from models.training.dataset import Sample
from models.training.loss_history import Curves, read_losses
from models.training.outcomes import ImageOutcome, named_figures, read_outcomes
from models.training.splits import LEAKS
from models.training.summary import published_figures, spread_text

_SPARED = """\
Each image was scored by a network that had seen neither it nor a near-duplicate of it. The figures
tell of these images; expect worse on other patients, hospitals and machines."""


def write_training_report(
    directory: Path,
    recipe: Recipe,
    facts: Mapping[str, Any],
    samples: Sequence[Sample],
    *,
    data: str,
    leaks: bool,
) -> Path:
    """Write ``report.html`` of the folds in ``directory``; return its path.

    ``facts`` are of `models.training.cross_validation.facts`, ``data`` the name of ``samples``.
    Raises `models.types.DatasetError` when a fold's outcomes cannot be read.
    """
    homes = {fold: directory / "folds" / f"fold-{fold}" for fold in facts["held_out_folds"]}
    held_out = _calibrated(homes, recipe)
    mistakes = draw_mistakes(held_out, samples, homes, recipe)
    rows = [row for fold in held_out.values() for row in fold]
    page = render_training(homes, rows, recipe, facts, mistakes, data=data, leaks=leaks)
    (directory / REPORT).write_text(page, encoding="utf-8")
    return directory / REPORT


def render_training(
    homes: Mapping[int, Path],
    rows: Sequence[ImageOutcome],
    recipe: Recipe,
    facts: Mapping[str, Any],
    mistakes: Gallery,
    *,
    data: str,
    leaks: bool,
) -> str:
    """Return the page of `write_training_report`.

    ``homes`` are directories by fold, ``rows`` all that was held out, calibrated.
    """
    folds = ", ".join(map(str, homes))
    body = filled(
        "training.html",
        headline=_headline(recipe, facts),
        published=html.escape(_published(recipe)),
        classes=_classes(rows, recipe, facts) if rows[0].probabilities else "",
        outlines=_outlines(rows, recipe.classes) if rows[0].overlap else "",
        mistakes=mistakes_section(mistakes),
        courses=_courses(homes),
    )
    return whole_page(
        f"How good is the recipe {recipe.name}?",
        f"{len(rows)} images of {data} were held out in turn, fold {folds}."
        f" Starting weights: {facts['start']}",
        LEAKS if leaks else _SPARED,
        body,
    )


def _calibrated(homes: Mapping[int, Path], recipe: Recipe) -> dict[int, list[ImageOutcome]]:
    """The images held out in each fold, calibrated by the other folds."""
    told = {fold: read_outcomes(home / OUTCOMES)[0] for fold, home in homes.items()}
    checked = CrossValidation(told, recipe.classes, recipe.reading.class_bias)
    return {fold: checked.calibrated(fold) for fold in homes}


def _headline(recipe: Recipe, facts: Mapping[str, Any]) -> str:
    measured = named_figures(facts["held_out_pooled"])
    spread, spans = facts["held_out_spread"], facts["held_out_intervals"]
    published = published_figures(recipe, facts)
    known = measured.keys() | published.keys()
    rows = []
    for name in [*(x for x in TITLES if x in known), *(x for x in published if x not in TITLES)]:
        low, high = spans.get(name, (None, None))
        theirs = [_theirs(name, *published.get(name, (name, None)))] if published else []
        rows.append([
            TITLES.get(name, name.replace("_", " ").capitalize()), number(measured.get(name)),
            f"{number(low)} to {number(high)}" if name in spans else "–",
            spread_text(spread.get(name)), *theirs,
        ])  # fmt: skip
    head = ["Figure", "Value", "95 % interval", "Mean ± sd over folds"]
    return table([*head, *(["Published"] if published else [])], rows)


def _theirs(ours: str, name: str, value: float | None) -> str:
    """A published figure, and what of it its name tells beyond ours: "0.985 (40x)"."""
    more = name.removeprefix(f"{ours}_")
    return number(value) + (f" ({more})" if more != name else "")


def _published(recipe: Recipe) -> str:
    if not recipe.published or not recipe.published.figures:
        return ""
    told = recipe.published
    return f"Published are figures of {told.work}, on {told.data}; its split: {told.split}."


def _classes(rows: Sequence[ImageOutcome], recipe: Recipe, facts: Mapping[str, Any]) -> str:
    figures = classification(rows, recipe.classes)
    below = facts["abstention"]["below"]
    drawn = plots.of_classes(rows, figures, confidence_threshold=below, classes=recipe.classes)
    return classes_section(figures, {**drawn, "losses": ""})


def _outlines(rows: Sequence[ImageOutcome], classes: Sequence[str]) -> str:
    parts = {"all lesions": rows} | {
        name: [row for row in rows if row.label == label] for label, name in enumerate(classes)
    }
    keys = ("dice", "dice_median", "iou", "found")
    lines = []
    for name, each in parts.items():
        scored = asdict(score_masks([row.overlap for row in each if row.overlap]))
        if count := scored["images_with_lesion"]:
            lines.append([name, str(count), *(number(scored[key]) for key in keys)])
    head = ["Lesions", "Images", "Dice", "Median Dice", "IoU", "Touched"]
    return f"<h2>Outlines</h2>{table(head, lines)}"


def _courses(homes: Mapping[int, Path]) -> str:
    known = {fold: curves for fold, home in homes.items() if (curves := _curves(home))}
    drawn = [figure(plots.losses(x), f"Loss without fold {fold}.") for fold, x in known.items()]
    return filled("courses.html", plots="".join(drawn)) if drawn else ""


def _curves(home: Path) -> Curves:
    """What a fold's training told of itself; of several networks, what was kept beside them."""
    _, told = read_outcomes(home / OUTCOMES)
    kept = {"trained on": told.get("losses"), "set aside": told.get("validation_losses")}
    return {name: curve for name, curve in kept.items() if curve} or read_losses(home)
