"""What held-out networks got wrong, drawn with what they looked at.

Importing this module loads TensorFlow.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from models.assessment import plots
from models.recipe import Recipe
from models.training.answers import Ask, asker_of
from models.training.dataset import Sample
from models.training.outcomes import ImageOutcome, image_name
from models.training.pictures import read_rgb
from models.types import PresetCorrupt

logger = logging.getLogger(__name__)

SHOWN = 24


def draw_mistakes(
    rows: Sequence[ImageOutcome],
    samples: Sequence[Sample],
    homes: Mapping[int, Path],
    recipe: Recipe,
) -> list[tuple[str, str]]:
    """Captions and pictures (`plots.tile`) of the surest wrong classes, or the worst outlines.

    ``rows`` are of the images held out, ``homes`` the directory of the network that spared a fold.
    Where that is gone, pictures come without what it looked at, and their captions say so.
    """
    known = {image_name(sample): sample for sample in samples}
    shown = (_wrong_classes if recipe.network.kind != "segmenter" else _poor_outlines)(rows)[:SHOWN]
    drawn: dict[str, tuple[str, str]] = {}
    for fold, home in homes.items():
        if mine := [row for row in shown if known[row.image].fold == fold]:
            ask = _asker(home, recipe)
            more = "" if ask else "; without Grad-CAM: its network is no longer there"
            drawn |= {
                row.image: (_caption(row, recipe.classes) + more, _tile(known[row.image], ask))
                for row in mine
            }
    return [drawn[row.image] for row in shown]


def _asker(home: Path, recipe: Recipe) -> Ask | None:
    try:
        return asker_of(home, recipe)
    except PresetCorrupt as error:
        logger.warning("%s is drawn without Grad-CAM: %s", home.name, error)
        return None


def _wrong_classes(rows: Sequence[ImageOutcome]) -> list[ImageOutcome]:
    wrong = [row for row in rows if _predicted(row) != row.label]
    return sorted(wrong, key=lambda row: -max(row.probabilities))


def _poor_outlines(rows: Sequence[ImageOutcome]) -> list[ImageOutcome]:
    poor = [row for row in rows if row.overlap is not None and row.overlap.dice < 1]
    return sorted(poor, key=lambda row: row.overlap.dice if row.overlap else 1)


def _tile(sample: Sample, ask: Ask | None) -> str:
    pixels, (_, lesion) = read_rgb(sample.image), sample.read()
    if ask is None:
        return plots.tile(pixels, lesion, None, np.zeros(lesion.shape, np.float32))
    (answer,) = ask([sample])
    return plots.tile(pixels, lesion, answer.mask, answer.heatmap)


def _caption(row: ImageOutcome, classes: Sequence[str]) -> str:
    true = f"{row.image}: {classes[row.label]}"
    if not row.probabilities:
        return f"{true}, Dice {row.overlap.dice if row.overlap else 0:.2f}"
    return f"{true}, taken for {classes[_predicted(row)]} ({max(row.probabilities):.0%})"


def _predicted(row: ImageOutcome) -> int:
    return row.probabilities.index(max(row.probabilities))
