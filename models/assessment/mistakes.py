"""What was answered wrongly, drawn with what the networks looked at.

Importing this module loads TensorFlow.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from models.assessment import plots
from models.assessment.page import Gallery
from models.evaluation import Overlap
from models.recipe import Recipe
from models.training.answers import Answer, Ask, asker_of
from models.training.calibration import Judged
from models.training.dataset import Sample
from models.training.outcomes import ImageOutcome, image_name
from models.training.pictures import read_rgb
from models.types import PresetCorrupt

logger = logging.getLogger(__name__)

SHOWN = 24
CLASSES_NOTE = (
    "Left the frame, right Grad-CAM for the answer. Green is the truth, red what was outlined, where"
    " there is either."
)
_OUTLINES_NOTE = (
    "Left the frame, right Grad-CAM for the outline on the coarsest grid, without what skip"
    " connections carry past it. Green is the truth, red what was outlined."
)
_Row = TypeVar("_Row", bound=Judged)


@dataclass(frozen=True)
class _HeldOut:
    """What was said of a sample, calibrated."""

    said: ImageOutcome
    sample: Sample

    @property
    def label(self) -> int:
        return self.said.label

    @property
    def probabilities(self) -> tuple[float, ...]:
        return self.said.probabilities


def draw_mistakes(
    held_out: Mapping[int, Sequence[ImageOutcome]],
    samples: Sequence[Sample],
    homes: Mapping[int, Path],
    recipe: Recipe,
) -> Gallery:
    """Draw the surest wrong classes, or the worst outlines.

    ``held_out`` and the directory in ``homes`` of the network that spared them are by fold. Where
    that cannot be read, pictures come without what it said, and their captions tell so.
    """
    rows = [
        row
        for fold, said in held_out.items()
        for row in _paired(said, [x for x in samples if x.fold == fold])
    ]
    outlines = recipe.network.kind == "segmenter"
    worst = _worst_outlines(rows) if outlines else surest_mistakes(rows)
    tiles: dict[int, tuple[str, str]] = {}
    for fold, home in homes.items():
        mine = [n for n, row in enumerate(worst[:SHOWN]) if row.sample.fold == fold]
        ask = _asker(home, recipe) if mine else None
        tiles |= {n: _tile(worst[n], ask, recipe.classes) for n in mine}
    note = _OUTLINES_NOTE if outlines else CLASSES_NOTE
    return Gallery([tiles[n] for n in sorted(tiles)], len(worst), note)


def surest_mistakes(rows: Sequence[_Row]) -> list[_Row]:
    """Those of a wrong class, the surest first."""
    wrong = [row for row in rows if _predicted(row) != row.label]
    return sorted(wrong, key=lambda row: -max(row.probabilities))


def caption(name: str, row: Judged, classes: Sequence[str]) -> str:
    """Tell what the image called ``name`` is, and what it was taken for."""
    sure = max(row.probabilities)
    return f"{name}: {classes[row.label]}, taken for {classes[_predicted(row)]} ({sure:.0%})"


def _paired(said: Sequence[ImageOutcome], samples: Sequence[Sample]) -> list[_HeldOut]:
    """Each with its sample. Where a name comes twice, their order tells."""
    by_name = sorted(said, key=lambda row: row.image), sorted(samples, key=image_name)
    return [_HeldOut(*each) for each in zip(*by_name, strict=True)]


def _worst_outlines(rows: Sequence[_HeldOut]) -> list[_HeldOut]:
    poor = [row for row in rows if row.said.overlap and row.said.overlap.dice < 1]
    return sorted(poor, key=lambda row: _quality(row.said.overlap))


def _quality(overlap: Overlap | None) -> tuple[float, int]:
    """Dice, and of two alike the one with fewer pixels on the wrong side."""
    assert overlap is not None
    return overlap.dice, 2 * overlap.both_px - overlap.true_px - overlap.predicted_px


def _asker(home: Path, recipe: Recipe) -> Ask | None:
    try:
        return asker_of(home, recipe)
    except PresetCorrupt:
        logger.warning("%s: its network cannot be read, so its mistakes lack Grad-CAM", home.name)
        return None


def _tile(row: _HeldOut, ask: Ask | None, classes: Sequence[str]) -> tuple[str, str]:
    pixels, (_, lesion) = read_rgb(row.sample.image), row.sample.read()
    text = _told(row.said, classes)
    if ask is None:
        more = "; without outline and Grad-CAM: its network cannot be read"
        return text + more, plots.tile(pixels, lesion)
    (answer,) = ask([row.sample])
    more = _explained(row.said, answer, classes)
    return text + more, plots.tile(pixels, lesion, answer.mask, answer.heatmap)


def _told(said: ImageOutcome, classes: Sequence[str]) -> str:
    if said.probabilities or said.overlap is None:
        return caption(said.image, said, classes)
    true = f"{said.image}: {classes[said.label]}"
    if not said.overlap.true_px:
        return f"{true}, yet outlined"
    return f"{true}, Dice {said.overlap.dice:.2f}"


def _explained(said: ImageOutcome, answer: Answer, classes: Sequence[str]) -> str:
    """Calibration by class may answer otherwise than the network, which explains itself."""
    if not answer.probabilities or (own := _predicted(answer)) == _predicted(said):
        return ""
    return f"; Grad-CAM for {classes[own]}, its answer uncalibrated"


def _predicted(row: Judged | Answer) -> int:
    return row.probabilities.index(max(row.probabilities))
