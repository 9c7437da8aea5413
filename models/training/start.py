"""What a network's weights are before training. Importing this module loads TensorFlow."""

import logging
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from models.networks.backbone import BaseWeights, settle_batch_norm, spread_batch_norm
from models.networks.build import build_network
from models.networks.encoders import StartUnavailable, build_encoder
from models.recipe import Recipe
from models.training.dataset import SampleArrays
from models.training.inputs import as_input

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Start:
    """Starting weights of the encoder, and what is said of them on a card; a whole sentence."""

    weights: BaseWeights = None
    words: str = "Random numbers."


def find_start(recipe: Recipe, asked: BaseWeights) -> Start:
    """Settle what training starts from: random numbers where ImageNet's cannot be downloaded.

    Raises `StartUnavailable` for a file that does not fit the recipe's encoder.
    """
    if not recipe.network.encoder or asked is None:
        return Start()
    try:
        build_encoder(recipe.network.encoder, recipe.input.size_px, asked)
    except StartUnavailable as error:
        if asked != "imagenet":
            raise
        logger.warning("%s; it starts at random", error)
        return Start(None, "Random numbers: ImageNet's weights could not be had.")
    if isinstance(asked, Path):
        return Start(asked, f"The file `{asked.name}`.")
    return Start(asked, "ImageNet, as Keras downloads them.")


def start_network(recipe: Recipe, weights: BaseWeights, data: SampleArrays) -> keras.Model:
    """Build a recipe's network; its encoder's batch norm takes its statistics from ``data``.

    Those stay as they are in training: see `spread_batch_norm` and `settle_batch_norm`.
    """
    network = build_network(recipe, weights)
    encoder = encoder_of(network)
    if encoder is not None and encoder.trainable_variables and _normalizes(encoder):
        prepare = settle_batch_norm if weights is None else spread_batch_norm
        prepare(encoder, _seen(network, data, recipe.training.seed))
    return network


def encoder_of(network: keras.Model) -> keras.Model | None:
    """The pretrained part of a network, None where there is none."""
    names = {layer.name for layer in network.layers}
    return next((network.get_layer(x) for x in ("encoder", "backbone") if x in names), None)


def _normalizes(encoder: keras.Model) -> bool:
    return any(isinstance(x, keras.layers.BatchNormalization) for x in encoder.layers)


def _seen(network: keras.Model, data: SampleArrays, seed: int) -> NDArray[np.float32]:
    """Up to 64 images as the encoder sees them."""
    some = np.sort(np.random.default_rng(seed).permutation(len(data))[:64])
    scaling = next(x for x in network.layers if x.name in ("to_imagenet", "to_encoder"))
    pixels = as_input(data.pixels[some]).astype(np.float32)
    return np.asarray(keras.ops.convert_to_numpy(scaling(pixels)), np.float32)
