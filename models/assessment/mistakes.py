"""What held-out networks got wrong, drawn with what they looked at.

Importing this module loads TensorFlow.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from models.assessment import plots
from models.recipe import Recipe
from models.training.answers import asker_of
from models.training.dataset import Sample
from models.training.outcomes import ImageOutcome, image_name
from models.training.pictures import read_rgb

SHOWN = 24


def draw_mistakes(
    rows: Sequence[ImageOutcome],
    samples: Sequence[Sample],
    homes: Mapping[int, Path],
    recipe: Recipe,
) -> list[tuple[str, str]]:
    """Captions and pictures (`plots.tile`) of the surest wrong classes, or the worst outlines.

    ``rows`` are of the images held out, ``homes`` the directory of the network that spared a fold.
    Raises `models.types.PresetCorrupt` when one is no longer there.
    """
    known = {image_name(sample): sample for sample in samples}
    shown = (_wrong_classes if recipe.network.kind != "segmenter" else _poor_outlines)(rows)[:SHOWN]
    tiles: dict[str, str] = {}
    for fold, home in homes.items():
        if mine := [known[row.image] for row in shown if known[row.image].fold == fold]:
            tiles |= _drawn(home, recipe, mine)
    return [(_caption(row, recipe.classes), tiles[row.image]) for row in shown]


def _wrong_classes(rows: Sequence[ImageOutcome]) -> list[ImageOutcome]:
    wrong = [row for row in rows if _predicted(row) != row.label]
    return sorted(wrong, key=lambda row: -max(row.probabilities))


def _poor_outlines(rows: Sequence[ImageOutcome]) -> list[ImageOutcome]:
    poor = [row for row in rows if row.overlap is not None and row.overlap.dice < 1]
    return sorted(poor, key=lambda row: row.overlap.dice if row.overlap else 1)


def _drawn(home: Path, recipe: Recipe, samples: Sequence[Sample]) -> dict[str, str]:
    ask = asker_of(home, recipe)
    tiles = {}
    for sample in samples:
        (answer,) = ask([sample])
        pixels, (_, lesion) = read_rgb(sample.image), sample.read()
        tiles[image_name(sample)] = plots.tile(pixels, lesion, answer.mask, answer.heatmap)
    return tiles


def _caption(row: ImageOutcome, classes: Sequence[str]) -> str:
    true = f"{row.image}: {classes[row.label]}"
    if not row.probabilities:
        return f"{true}, Dice {row.overlap.dice if row.overlap else 0:.2f}"
    return f"{true}, taken for {classes[_predicted(row)]} ({max(row.probabilities):.0%})"


def _predicted(row: ImageOutcome) -> int:
    return row.probabilities.index(max(row.probabilities))
