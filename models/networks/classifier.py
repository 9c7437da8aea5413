"""Normal, benign or malignant: MobileNetV2 with a dense head."""

import keras

from models.networks.layers import GrayToImageNet
from models.types import CLASSES


def build_classifier(
    backbone: keras.Model, *, hidden_units: int = 0, dropout: float = 0.3
) -> keras.Model:
    """Gray ``(b, s, s, 1)`` in 0..255 to ``(b, 3)`` logits in the order of `CLASSES`.

    Without hidden units the head is pooling and one dense layer, for which Grad-CAM has a closed
    form. The backbone's batch norm keeps its stored statistics, also in training.
    """
    size = backbone.input_shape[1]
    gray = keras.Input((size, size, 1), name="gray")
    features = backbone(GrayToImageNet(name="to_imagenet")(gray), training=False)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(features)
    if hidden_units:
        x = keras.layers.Dense(hidden_units, activation="relu", name="hidden")(x)
    x = keras.layers.Dropout(dropout, name="dropout")(x)
    logits = keras.layers.Dense(len(CLASSES), name="logits")(x)
    return keras.Model(gray, logits, name="classifier")


def split_classifier(classifier: keras.Model) -> tuple[keras.Model, keras.Model]:
    """Cut a classifier, weights shared: input to features ``(b, h, w, k)``, features to logits."""
    features = classifier.get_layer("pool").input
    stem = keras.Model(classifier.input, features, name="stem")
    head_input = keras.Input(features.shape[1:], name="features")
    x = head_input
    for name in ("pool", "hidden", "dropout", "logits"):
        if any(layer.name == name for layer in classifier.layers):
            x = classifier.get_layer(name)(x)
    return stem, keras.Model(head_input, x, name="head")
