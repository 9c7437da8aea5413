"""Predictions of the trained network of any recipe, in the pixels of the original images.

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

from models.data.dataset import Sample
from models.data.inputs import add_channel_axis, load_input
from models.gradcam import gradient_map
from models.networks.build import build_network
from models.networks.inference import load_weights
from models.networks.layers import FEATURES
from models.predictor import Predictor
from models.preprocess import to_frame
from models.recipe import Recipe
from models.training.saving import WEIGHTS_FILE


@dataclass(frozen=True)
class ImagePrediction:
    """The uncalibrated prediction for an image of ``h`` rows and ``w`` columns.

    ``probabilities`` is empty if the recipe does not classify, ``mask`` ``(h, w)`` None if it does
    not segment. ``heatmap`` ``(h, w)``, non-negative, is the Grad-CAM of the predicted class, or of
    the predicted mask (`models.gradcam`).
    """

    probabilities: tuple[float, ...]
    mask: NDArray[np.bool_] | None
    heatmap: NDArray[np.float32]


PredictSamples = Callable[[Sequence[Sample]], list[ImagePrediction]]
"""Predicts samples, all of which are in memory at the same time."""


def load_sample_predictor(home: Path, recipe: Recipe) -> PredictSamples:
    """Load the network that training saved in ``home``.

    Raises `models.types.PresetCorrupt` if it cannot be read.
    """
    if recipe.network.kind == "joint":
        return preset_sample_predictor(home)
    network = build_network(recipe)
    load_weights(network, home / WEIGHTS_FILE)
    return network_sample_predictor(network, recipe)


def preset_sample_predictor(directory: Path) -> PredictSamples:
    """Load a preset. Raises `models.types.PresetCorrupt` if it cannot be read."""
    predictor = Predictor.load(directory)

    def predict(samples: Sequence[Sample]) -> list[ImagePrediction]:
        predictions = predictor.predict([sample.read()[0] for sample in samples])
        return [ImagePrediction(x.probabilities, x.mask, x.heatmap) for x in predictions]

    return predict


def network_sample_predictor(network: keras.Model, recipe: Recipe) -> PredictSamples:
    """Trace a classifier or segmenter together with its Grad-CAM."""
    mask_threshold = recipe.inference.mask_threshold
    spec = tf.TensorSpec((None, *network.input_shape[1:]), tf.float32)
    explained = gradient_map(network, FEATURES, above=float(special.logit(mask_threshold)))
    traced = tf.function(explained).get_concrete_function(spec)

    def predict(samples: Sequence[Sample]) -> list[ImagePrediction]:
        inputs = [load_input(sample, recipe.input) for sample in samples]
        pixels = add_channel_axis(np.stack([square for square, _, _ in inputs]))
        outputs = (np.asarray(x, np.float32) for x in traced(tf.constant(pixels, tf.float32)))
        predictions = []
        for (_, placement, _), logits, heatmap in zip(inputs, *outputs, strict=True):
            probabilities: tuple[float, ...] = ()
            mask = None
            if recipe.network.kind == "classifier":
                probabilities = tuple(special.softmax(logits.astype(np.float64)).tolist())
            else:
                mask = to_frame(special.expit(logits[..., 0]), placement) > mask_threshold
            heatmap = to_frame(heatmap, placement)
            predictions.append(ImagePrediction(probabilities, mask, heatmap))
        return predictions

    return predict
