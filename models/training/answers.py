"""What the networks of any recipe say of pictures, laid back upon these.

Importing this module loads TensorFlow.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from scipy import special

from models.gradcam import by_gradient
from models.networks.build import build_network
from models.networks.inference import fill
from models.networks.layers import FEATURES
from models.predictor import Predictor
from models.preprocess import Placement, to_frame
from models.recipe import Recipe
from models.training.dataset import Sample
from models.training.inputs import as_input, load_input
from models.training.save import WEIGHTS_FILE


@dataclass(frozen=True)
class Answer:
    """What was said of a picture of ``h`` rows and ``w`` columns, uncalibrated.

    ``probabilities`` is empty from a network that only outlines, ``mask`` ``(h, w)`` None from one
    that only classifies. ``heatmap`` ``(h, w)``, not negative: what spoke for the predicted class,
    or for the outline (`models.gradcam`).
    """

    probabilities: tuple[float, ...]
    mask: NDArray[np.bool_] | None
    heatmap: NDArray[np.float32]


Ask = Callable[[Sequence[Sample]], list[Answer]]
"""Asks about some samples at once; all of them are held in memory."""


def asker_of(home: Path, recipe: Recipe) -> Ask:
    """Load what training left in ``home``. Raises `models.types.PresetCorrupt`."""
    if recipe.network.kind == "joint":
        return preset_asker(home)
    network = build_network(recipe)
    fill(network, home / WEIGHTS_FILE)
    return network_asker(network, recipe)


def preset_asker(directory: Path) -> Ask:
    """Ask the preset in ``directory``. Raises `models.types.PresetCorrupt`."""
    predictor = Predictor.load(directory)

    def ask(samples: Sequence[Sample]) -> list[Answer]:
        said = predictor.predict([sample.read()[0] for sample in samples])
        return [Answer(each.probabilities, each.mask, each.heatmap) for each in said]

    return ask


def network_asker(network: keras.Model, recipe: Recipe) -> Ask:
    """Ask a classifier or segmenter."""
    spec = tf.TensorSpec((None, *network.input_shape[1:]), tf.float32)
    above = float(special.logit(recipe.reading.mask_threshold))
    explained = tf.function(by_gradient(network, FEATURES, above=above)).get_concrete_function(spec)

    def ask(samples: Sequence[Sample]) -> list[Answer]:
        read = [load_input(sample, recipe.input) for sample in samples]
        pixels = as_input(np.stack([square for square, _, _ in read]))
        said = explained(tf.constant(pixels, tf.float32))
        logits, heats = (np.asarray(each, np.float32) for each in said)
        return [
            _answer(recipe, one, to_frame(heat, place), place)
            for (_, place, _), one, heat in zip(read, logits, heats, strict=True)
        ]

    return ask


def _answer(
    recipe: Recipe, logits: NDArray[np.float32], heat: NDArray[np.float32], place: Placement
) -> Answer:
    if recipe.network.kind == "classifier":
        return Answer(tuple(special.softmax(logits.astype(np.float64)).tolist()), None, heat)
    lesion = to_frame(special.expit(logits[..., 0]), place)
    return Answer((), lesion > recipe.reading.mask_threshold, heat)
