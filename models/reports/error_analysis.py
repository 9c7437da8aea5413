"""The worst errors of held-out images, drawn with Grad-CAM.

Importing this module loads TensorFlow.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from models.data.dataset import Sample
from models.data.images import read_rgb
from models.evaluation.calibration import LabeledPrediction
from models.recipe import Recipe
from models.reports import plots
from models.reports.page import Gallery
from models.training.held_out import HeldOutResult, image_name
from models.training.predictions import (
    ImagePrediction,
    PredictSamples,
    load_sample_predictor,
)
from models.types import PresetCorrupt

logger = logging.getLogger(__name__)

MAX_TILES = 24
CLASSIFICATION_NOTE = (
    "Left: frame; right: Grad-CAM of the predicted class. Green: annotated outline, red: predicted"
    " outline, if any."
)
_SEGMENTATION_NOTE = (
    "Left: frame; right: Grad-CAM of the predicted mask on the coarsest grid, without skip"
    " connections. Green: annotated outline, red: predicted outline."
)
_Prediction = TypeVar("_Prediction", bound=LabeledPrediction)


@dataclass(frozen=True)
class _HeldOutSample:
    """A sample with its calibrated result."""

    result: HeldOutResult
    sample: Sample

    @property
    def label(self) -> int:
        return self.result.label

    @property
    def probabilities(self) -> tuple[float, ...]:
        return self.result.probabilities


def draw_errors(
    held_out: Mapping[int, Sequence[HeldOutResult]],
    samples: Sequence[Sample],
    homes: Mapping[int, Path],
    recipe: Recipe,
) -> Gallery:
    """Draw the most confident misclassifications, or the worst masks of a segmenter.

    ``held_out`` contains the results of each fold, ``homes`` the directory of the network that
    predicted them. If a network cannot be read, its images are drawn without prediction, and their
    captions say so.
    """
    rows = list[_HeldOutSample]()
    for fold, results in held_out.items():
        # Two images can have the same name; sorting both alike keeps their order.
        by_name = sorted((x for x in samples if x.fold == fold), key=image_name)
        ordered = sorted(results, key=lambda result: result.image)
        rows += [_HeldOutSample(*pair) for pair in zip(ordered, by_name, strict=True)]
    segments = recipe.network.kind == "segmenter"
    errors = _worst_masks(rows) if segments else most_confident_errors(rows)
    tiles: dict[int, tuple[str, str]] = {}
    for fold, home in homes.items():
        of_fold = [n for n, row in enumerate(errors[:MAX_TILES]) if row.sample.fold == fold]
        predict: PredictSamples | None = None
        if of_fold:
            try:
                predict = load_sample_predictor(home, recipe)
            except PresetCorrupt:
                logger.warning(
                    "%s: network cannot be read; its errors are shown without Grad-CAM", home.name
                )
        tiles |= {n: _draw_error(errors[n], predict, recipe.classes) for n in of_fold}
    note = _SEGMENTATION_NOTE if segments else CLASSIFICATION_NOTE
    return Gallery([tiles[n] for n in sorted(tiles)], len(errors), note)


def most_confident_errors(predictions: Sequence[_Prediction]) -> list[_Prediction]:
    """Return the misclassifications, the most confident one first."""
    wrong = [x for x in predictions if _predicted_class(x) != x.label]
    return sorted(wrong, key=lambda x: -max(x.probabilities))


def format_caption(name: str, prediction: LabeledPrediction, classes: Sequence[str]) -> str:
    """Return the image name with true class, predicted class and confidence."""
    predicted, confidence = _predicted_class(prediction), max(prediction.probabilities)
    return f"{name}: {classes[prediction.label]}, predicted {classes[predicted]} ({confidence:.0%})"


def _worst_masks(rows: Sequence[_HeldOutSample]) -> list[_HeldOutSample]:
    """Sort imperfect masks by Dice, then by the number of wrong pixels."""
    ranked = []
    for row in rows:
        overlap = row.result.overlap
        if overlap and overlap.dice < 1:
            wrong_px = overlap.true_px + overlap.predicted_px - 2 * overlap.intersection_px
            ranked.append((overlap.dice, -wrong_px, row))
    return [row for _, _, row in sorted(ranked, key=lambda x: x[:2])]


def _draw_error(
    row: _HeldOutSample, predict: PredictSamples | None, classes: Sequence[str]
) -> tuple[str, str]:
    pixels, (_, lesion) = read_rgb(row.sample.image), row.sample.read()
    result, overlap = row.result, row.result.overlap
    if result.probabilities or overlap is None:
        caption = format_caption(result.image, result, classes)
    elif overlap.true_px:
        caption = f"{result.image}: {classes[result.label]}, Dice {overlap.dice:.2f}"
    else:
        caption = f"{result.image}: {classes[result.label]}, false positive mask"
    if predict is None:
        return f"{caption}; network cannot be read", plots.render_tile(pixels, lesion)
    (prediction,) = predict([row.sample])
    # Calibration with class biases can change the predicted class; Grad-CAM is of the original one.
    if prediction.probabilities:
        uncalibrated = _predicted_class(prediction)
        if uncalibrated != _predicted_class(result):
            caption += f"; Grad-CAM of {classes[uncalibrated]}, the uncalibrated prediction"
    return caption, plots.render_tile(pixels, lesion, prediction.mask, prediction.heatmap)


def _predicted_class(prediction: LabeledPrediction | ImagePrediction) -> int:
    return prediction.probabilities.index(max(prediction.probabilities))
