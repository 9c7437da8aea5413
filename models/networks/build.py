"""Building the network of a recipe. Importing this module loads TensorFlow."""

import keras

from models.networks.backbone import BaseWeights
from models.networks.encoders import ScaleInput, build_encoder, encoder_names, find_encoder
from models.networks.joint import build_joint
from models.networks.layers import FEATURES, LightweightAttention, Tensor
from models.networks.unet import build_unet
from models.recipe import HeadLayer, Recipe, RecipeInvalid

_CUSTOM_LAYERS = {LightweightAttention.__name__: LightweightAttention}
_KERAS_LAYERS = frozenset(
    {"Activation", "AveragePooling2D", "BatchNormalization", "Conv2D", "Dense", "Dropout"}
    | {"Flatten", "GlobalAveragePooling2D", "GlobalMaxPooling2D", "LayerNormalization"}
    | {"LeakyReLU", "MaxPooling2D", "ReLU", "SeparableConv2D", "SpatialDropout2D"}
)


def build_network(recipe: Recipe, weights: BaseWeights = None) -> keras.Model:
    """Build a recipe's network for pixels ``(b, s, s, channels)`` in 0..255.

    Classifiers return logits ``(b, classes)``, segmenters lesion logits ``(b, s, s, 1)``, joint
    networks both, as ``class`` and ``lesion``. ``weights`` initializes the encoder.

    Raises:
        RecipeInvalid: encoder, layer or input size do not exist or do not fit.
        WeightsUnavailable: as for `models.networks.encoders.build_encoder`.
    """
    network = recipe.network
    if network.kind == "classifier":
        return _build_classifier(recipe, weights)
    if network.kind == "joint":
        if network.encoder != "MobileNetV2":
            raise RecipeInvalid(
                f"recipe {recipe.name}: network.encoder: joint supports MobileNetV2 only"
            )
        return build_joint(_build_encoder(recipe, weights), dropout=network.dropout)
    return build_unet(
        recipe.input.size_px,
        network.widths,
        channels=recipe.input.channels,
        residual="res" in network.decoder,
        attention=network.decoder.startswith("attention"),
        dropout=network.dropout,
    )


def _build_classifier(recipe: Recipe, weights: BaseWeights) -> keras.Model:
    size, channels = recipe.input.size_px, recipe.input.channels
    encoder = _build_encoder(recipe, weights)
    scaling = find_encoder(recipe.network.encoder).scaling
    pixels = keras.Input((size, size, channels), name="pixels")
    # Batches are too small for batch statistics, so training uses the stored ones.
    encoded = encoder(ScaleInput(scaling, name="to_encoder")(pixels), training=False)
    x = keras.layers.Activation("linear", name=FEATURES)(encoded)
    for number, layer in enumerate(recipe.network.head):
        x = _build_head_layer(recipe, number, layer)(x)
    logits = keras.layers.Dense(len(recipe.classes), dtype="float32", name="logits")(x)
    return keras.Model(pixels, logits, name="classifier")


def _build_encoder(recipe: Recipe, weights: BaseWeights) -> keras.Model:
    name, last_frozen = recipe.network.encoder, recipe.network.frozen_to
    if name not in encoder_names():
        known = ", ".join(encoder_names())
        raise RecipeInvalid(f"recipe {recipe.name}: network.encoder {name!r} is not one of {known}")
    encoder = build_encoder(name, recipe.input.size_px, weights)
    if weights is None or not last_frozen:
        return encoder  # random weights are never frozen
    if last_frozen == "all":
        encoder.trainable = False
        return encoder
    layers = [layer.name for layer in encoder.layers]
    if last_frozen not in layers:
        raise RecipeInvalid(
            f"recipe {recipe.name}: network.frozen_to: {name} has no layer {last_frozen!r}"
        )
    for layer in encoder.layers[: layers.index(last_frozen) + 1]:
        layer.trainable = False
    return encoder


def _build_head_layer(recipe: Recipe, number: int, spec: HeadLayer) -> Tensor:
    key = f"recipe {recipe.name}: network.head.{number}"
    if spec.layer not in _KERAS_LAYERS and spec.layer not in _CUSTOM_LAYERS:
        known = ", ".join(sorted(_KERAS_LAYERS | _CUSTOM_LAYERS.keys()))
        raise RecipeInvalid(f"{key}.layer {spec.layer!r} is not one of {known}")
    layer_type = _CUSTOM_LAYERS.get(spec.layer) or getattr(keras.layers, spec.layer)
    try:
        return layer_type(**{"name": f"head_{number}", **spec.arguments})
    except (TypeError, ValueError) as error:
        raise RecipeInvalid(f"{key}.arguments: {error}") from error
