"""A trained network to a preset directory. Importing this module loads TensorFlow."""

from dataclasses import replace
from pathlib import Path

import keras

from models.preset import NetworkFile, Preset, digest, write_preset

WEIGHTS_FILE = "network.weights.h5"


def save_preset(directory: Path, preset: Preset, network: keras.Model) -> Preset:
    """Write the weight file and ``preset.json``; return ``preset`` with file and digest."""
    saved = replace(preset, network=save_weights(directory, network))
    write_preset(directory, saved)
    return saved


def save_weights(directory: Path, network: keras.Model) -> NetworkFile:
    """Write the weight file and tell its digest."""
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / WEIGHTS_FILE
    # An uncompiled twin: a trained network would write its optimizer's state too, twice the weights.
    keras.Model(network.inputs, network.output, name=network.name).save_weights(file)
    return NetworkFile(file.name, digest(file), network.input_shape[1])
