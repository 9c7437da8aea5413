"""A preset's networks, built, filled and traced for one batch size."""

import warnings
from collections.abc import Callable
from pathlib import Path

import keras
import tensorflow as tf

from models.gradcam import by_gradient, closed_form
from models.networks.backbone import build_backbone
from models.networks.classifier import build_classifier, split_classifier
from models.networks.layers import Tensor
from models.networks.segmenter import build_segmenter
from models.preset import Preset
from models.types import PresetCorrupt


def load_networks(directory: Path, preset: Preset) -> tuple[keras.Model, keras.Model]:
    """Build a preset's classifier and segmenter and fill them from its weight files.

    Raises `PresetCorrupt` for weights of another architecture.
    """
    classifier = build_classifier(
        build_backbone(preset.classifier.input_size_px), hidden_units=preset.hidden_units
    )
    segmenter = build_segmenter(build_backbone(preset.segmenter.input_size_px))
    _fill(classifier, directory / preset.classifier.file)
    _fill(segmenter, directory / preset.segmenter.file)
    return classifier, segmenter


def trace(
    classifier: keras.Model, segmenter: keras.Model, batch_size: int
) -> tuple[Callable[[Tensor], tuple[Tensor, Tensor]], Callable[[Tensor], Tensor]]:
    """Trace both for uint8 ``(batch_size, s, s, 1)``.

    The first returns logits ``(b, 3)`` and Grad-CAM ``(b, h, w)``, the second lesion logits
    ``(b, s, s, 1)``.
    """
    return _trace(explained(classifier), classifier, batch_size), _trace(
        lambda batch: segmenter(batch, training=False), segmenter, batch_size
    )


def explained(classifier: keras.Model) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """Return a function from a batch to the classifier's logits and its Grad-CAM."""
    stem, head = split_classifier(classifier)
    if any(layer.name == "hidden" for layer in head.layers):
        return lambda batch: by_gradient(stem(batch, training=False), head)
    kernel = head.get_layer("logits").kernel

    def call(batch: Tensor) -> tuple[Tensor, Tensor]:
        features = stem(batch, training=False)
        logits = head(features, training=False)
        return logits, closed_form(features, logits, kernel)

    return call


def _fill(network: keras.Model, file: Path) -> None:
    try:
        with warnings.catch_warnings():
            # Keras only warns of layers that a file does not fill and leaves them at random.
            warnings.simplefilter("error", UserWarning)
            network.load_weights(file)
    except (OSError, ValueError, KeyError, UserWarning) as error:
        raise PresetCorrupt(file.name, f"holds no weights of this {network.name}") from error


def _trace(
    function: Callable[[Tensor], Tensor], network: keras.Model, batch_size: int
) -> Callable[[Tensor], Tensor]:
    spec = tf.TensorSpec((batch_size, *network.input_shape[1:]), tf.uint8)
    traced = tf.function(lambda batch: function(tf.cast(batch, tf.float32)))
    return traced.get_concrete_function(spec)  # type: ignore[no-any-return]  # no types
