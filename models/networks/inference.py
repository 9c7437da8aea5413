"""Inference with the networks of a preset, traced as one graph that includes Grad-CAM."""

import warnings
from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from pathlib import Path

import keras
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from models.gradcam import PooledFeatures, closed_form_map, normalize_maps
from models.networks.backbone import build_backbone
from models.networks.joint import POOLS, build_joint
from models.networks.layers import Tensor
from models.preset import Preset
from models.types import PresetCorrupt

InferenceOutput = tuple[Tensor, Tensor, Tensor]
"""Class logits ``(b, 3)``, Grad-CAM ``(b, h, w)`` in 0..1, lesion probability ``(b, s, s)``."""

NO_SHIFT = (0.0, 0.0, 0.0)


def load_networks(directory: Path, preset: Preset) -> list[keras.Model]:
    """Build a preset's networks and load their weights.

    Raises `PresetCorrupt` for weights of another architecture.
    """
    networks = []
    for file in preset.networks:
        network = build_joint(build_backbone(file.input_size_px))
        load_weights(network, directory / file.file)
        networks.append(network)
    return networks


def trace(
    networks: Sequence[keras.Model],
    batch_size: int,
    *,
    mirrored: bool = False,
    class_shift: Sequence[float] = NO_SHIFT,
) -> Callable[[Tensor], InferenceOutput]:
    """Trace `ensemble_inference` for uint8 ``(batch_size, s, s, 1)`` with the current weights.

    With constant weights TensorFlow merges operations: inference takes a fifth less time, and
    outputs differ by up to 3e-5.
    """
    spec = tf.TensorSpec((batch_size, *networks[0].input_shape[1:]), tf.uint8)
    infer = ensemble_inference(networks, mirrored=mirrored, class_shift=class_shift)
    traced = tf.function(lambda batch: infer(tf.cast(batch, tf.float32)))
    frozen = convert_variables_to_constants_v2(traced.get_concrete_function(spec))
    return lambda batch: frozen(tf.constant(batch))


def ensemble_inference(
    networks: Sequence[keras.Model],
    *,
    mirrored: bool = False,
    class_shift: Sequence[float] = NO_SHIFT,
) -> Callable[[Tensor], InferenceOutput]:
    """Return a function from a batch to the average output of the networks.

    ``mirrored`` averages the outputs for each image and its mirror image, at twice the cost.
    ``class_shift`` is added to the logits that select the class of the heat map, as calibration
    does later; the returned logits are without it.
    """
    with_pooled = [_with_pooled_features(network) for network in networks]
    views, shift = 2 if mirrored else 1, tf.constant(class_shift, tf.float32)

    def infer(batch: Tensor) -> InferenceOutput:
        both_views = tf.concat([batch, tf.reverse(batch, [2])][:views], 0)
        outputs = [call(both_views) for call in with_pooled]
        logits = _mean([x for output, _ in outputs for x in tf.split(output["class"], views)])
        predicted = tf.tile(tf.argmax(logits + shift, axis=-1), [views])
        heatmaps = [
            normalize_maps(_average_views(closed_form_map(pooled, predicted), views))
            for _, pooled in outputs
        ]
        # Probabilities, not logits: with logits, an uncertain network would hide a lesion that
        # another one detects.
        lesions = [_average_views(tf.sigmoid(output["lesion"]), views) for output, _ in outputs]
        return logits, normalize_maps(_mean(heatmaps)), _mean(lesions)[..., 0]

    return infer


def load_weights(network: keras.Model, file: Path) -> None:
    """Load weights. Raises `PresetCorrupt` for weights of another architecture."""
    try:
        with warnings.catch_warnings():
            # Keras only warns about layers that are not in the file and keep random weights.
            warnings.simplefilter("error", UserWarning)
            network.load_weights(file)
    except (OSError, ValueError, KeyError, UserWarning) as error:
        raise PresetCorrupt(file.name, "does not contain weights of this network") from error


def _with_pooled_features(
    network: keras.Model,
) -> Callable[[Tensor], tuple[dict[str, Tensor], list[PooledFeatures]]]:
    """Return a function from a batch to the network's output and the inputs of its class head."""
    pools = [network.get_layer(name) for name in POOLS]
    inner = keras.Model(network.input, [network.output, *(pool.input for pool in pools)])
    # The class head reads the pools in this order, followed by a feature that has no location.
    ends = accumulate(pool.output.shape[-1] for pool in pools)
    kernel = network.get_layer("class").kernel
    kernels = [kernel[start:end] for start, end in pairwise([0, *ends])]

    def call(batch: Tensor) -> tuple[dict[str, Tensor], list[PooledFeatures]]:
        output, *inputs = inner(batch, training=False)
        return output, [
            PooledFeatures(features, weights, part)
            for (features, weights), part in zip(inputs, kernels, strict=True)
        ]

    return call


def _average_views(maps: Tensor, views: int) -> Tensor:
    """Average the maps of the images and, flipped back, those of the mirror images."""
    plain, *mirrored = tf.split(maps, views)
    return tf.add_n([plain, *(tf.reverse(x, [2]) for x in mirrored)]) / views


def _mean(values: Sequence[Tensor]) -> Tensor:
    return tf.add_n(list(values)) / len(values)
