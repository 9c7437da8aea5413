"""Initial weights of a network. Importing this module loads TensorFlow."""

import logging
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from models.data.dataset import SampleArrays
from models.data.inputs import add_channel_axis
from models.networks.backbone import BaseWeights, initialize_batch_norm, restore_batch_norm
from models.networks.build import build_network
from models.networks.encoders import WeightsUnavailable, build_encoder
from models.recipe import Recipe

logger = logging.getLogger(__name__)

_BATCH_NORM_IMAGES = 64


@dataclass(frozen=True)
class InitialWeights:
    """Initial weights of the encoder, and a sentence for the model card about their origin."""

    weights: BaseWeights = None
    description: str = "Random initialization."


def resolve_initial_weights(recipe: Recipe, requested: BaseWeights) -> InitialWeights:
    """Check the requested weights; use random ones if ImageNet weights cannot be downloaded.

    Raises:
        WeightsUnavailable: a file does not fit the recipe's encoder.
    """
    if not recipe.network.encoder or requested is None:
        return InitialWeights()
    try:
        build_encoder(recipe.network.encoder, recipe.input.size_px, requested)
    except WeightsUnavailable as error:
        if requested != "imagenet":
            raise
        logger.warning("%s; using random weights", error)
        description = "Random initialization: the ImageNet weights could not be downloaded."
        return InitialWeights(None, description)
    if isinstance(requested, Path):
        return InitialWeights(requested, f"The file `{requested.name}`.")
    return InitialWeights(requested, "ImageNet weights as distributed with Keras.")


def build_initial_network(recipe: Recipe, weights: BaseWeights, data: SampleArrays) -> keras.Model:
    """Build a recipe's network and set the batch norm statistics of its encoder from ``data``.

    Training does not update them: see `restore_batch_norm` and `initialize_batch_norm`.
    """
    network = build_network(recipe, weights)
    encoder = get_encoder(network)
    if encoder is None or not encoder.trainable_variables:
        return network
    if any(isinstance(x, keras.layers.BatchNormalization) for x in encoder.layers):
        rng = np.random.default_rng(recipe.training.seed)
        rows = np.sort(rng.permutation(len(data))[:_BATCH_NORM_IMAGES])
        pixels = add_channel_axis(data.pixels[rows]).astype(np.float32)
        scaling = next(x for x in network.layers if x.name in ("to_imagenet", "to_encoder"))
        images = np.asarray(keras.ops.convert_to_numpy(scaling(pixels)), np.float32)
        set_statistics = initialize_batch_norm if weights is None else restore_batch_norm
        set_statistics(encoder, images)
    return network


def get_encoder(network: keras.Model) -> keras.Model | None:
    """Return the pretrained part of a network; None if it has none."""
    names = {layer.name for layer in network.layers}
    return next((network.get_layer(x) for x in ("encoder", "backbone") if x in names), None)
