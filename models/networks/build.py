"""From a recipe to its network. Importing this module loads TensorFlow."""

from collections.abc import Callable

import keras

from models.networks.backbone import BaseWeights
from models.networks.encoders import ToEncoder, build_encoder, encoder_names, find_encoder
from models.networks.joint import build_joint
from models.networks.layers import FEATURES, LightweightAttention, Tensor
from models.networks.unet import build_unet
from models.recipe import HeadLayer, Recipe, RecipeInvalid

_OWN = {LightweightAttention.__name__: LightweightAttention}
_KERAS = frozenset(
    {"Activation", "AveragePooling2D", "BatchNormalization", "Conv2D", "Dense", "Dropout"}
    | {"Flatten", "GlobalAveragePooling2D", "GlobalMaxPooling2D", "LayerNormalization"}
    | {"LeakyReLU", "MaxPooling2D", "ReLU", "SeparableConv2D", "SpatialDropout2D"}
)


def build_network(recipe: Recipe, weights: BaseWeights = None) -> keras.Model:
    """Build a recipe's network for uint8-ranged ``(b, s, s, channels)`` in 0..255.

    Classifiers give logits ``(b, classes)``, segmenters lesion logits ``(b, s, s, 1)``, joint
    networks both, as ``class`` and ``lesion``. ``weights``: the encoder's start.
    Raises `RecipeInvalid` and `models.networks.encoders.StartUnavailable`.
    """
    return _BUILDERS[recipe.network.kind](recipe, weights)


def _classifier(recipe: Recipe, weights: BaseWeights) -> keras.Model:
    size, channels = recipe.input.size_px, recipe.input.channels
    encoder = _encoder(recipe, weights)
    scaling = find_encoder(recipe.network.encoder).scaling
    pixels = keras.Input((size, size, channels), name="pixels")
    # Stored batch statistics: batches here are too small and too alike to make new ones.
    encoded = encoder(ToEncoder(scaling, name="to_encoder")(pixels), training=False)
    x = keras.layers.Activation("linear", name=FEATURES)(encoded)
    for number, part in enumerate(recipe.network.head):
        x = _head_layer(recipe, number, part)(x)
    logits = keras.layers.Dense(len(recipe.classes), dtype="float32", name="logits")(x)
    return keras.Model(pixels, logits, name="classifier")


def _segmenter(recipe: Recipe, _: BaseWeights) -> keras.Model:
    network = recipe.network
    return build_unet(
        recipe.input.size_px,
        network.widths,
        channels=recipe.input.channels,
        residual="res" in network.decoder,
        attention=network.decoder.startswith("attention"),
        dropout=network.dropout,
    )


def _joint(recipe: Recipe, weights: BaseWeights) -> keras.Model:
    if recipe.network.encoder != "MobileNetV2":
        raise RecipeInvalid(f"recipe {recipe.name}: network.encoder: joint takes MobileNetV2 only")
    return build_joint(_encoder(recipe, weights), dropout=recipe.network.dropout)


_BUILDERS: dict[str, Callable[[Recipe, BaseWeights], keras.Model]] = {
    "classifier": _classifier,
    "segmenter": _segmenter,
    "joint": _joint,
}


def _encoder(recipe: Recipe, weights: BaseWeights) -> keras.Model:
    name = recipe.network.encoder
    if name not in encoder_names():
        known = ", ".join(encoder_names())
        raise RecipeInvalid(f"recipe {recipe.name}: network.encoder {name!r} is none of {known}")
    encoder = build_encoder(name, recipe.input.size_px, weights)
    # What starts at random has nothing worth keeping.
    if weights is not None:
        _freeze(recipe, encoder)
    return encoder


def _freeze(recipe: Recipe, encoder: keras.Model) -> None:
    last = recipe.network.frozen_to
    if last == "all":
        encoder.trainable = False
    elif last and last not in {layer.name for layer in encoder.layers}:
        raise RecipeInvalid(f"recipe {recipe.name}: network.frozen_to: no layer {last!r}")
    elif last:
        for layer in encoder.layers:
            layer.trainable = False
            if layer.name == last:
                return


def _head_layer(recipe: Recipe, number: int, part: HeadLayer) -> Tensor:
    where = f"recipe {recipe.name}: network.head.{number}"
    if part.layer not in _KERAS and part.layer not in _OWN:
        known = ", ".join(sorted(_KERAS | _OWN.keys()))
        raise RecipeInvalid(f"{where}.layer {part.layer!r} is none of {known}")
    kind = _OWN.get(part.layer) or getattr(keras.layers, part.layer)
    try:
        return kind(**{"name": f"head_{number}", **part.arguments})
    except (TypeError, ValueError) as error:
        raise RecipeInvalid(f"{where}.arguments: {error}") from error
