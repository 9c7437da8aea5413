"""Saving trained networks. Importing this module loads TensorFlow."""

from dataclasses import replace
from pathlib import Path

import keras

from models.preset import NetworkFile, Preset, file_sha256, write_preset

WEIGHTS_FILE = "network.weights.h5"


def save_preset(directory: Path, preset: Preset, network: keras.Model) -> Preset:
    """Write the weight file and ``preset.json``; return the preset with file name and digest."""
    saved = replace(preset, network=save_weights(directory, network))
    write_preset(directory, saved)
    return saved


def save_weights(directory: Path, network: keras.Model) -> NetworkFile:
    """Write the weight file and return its description."""
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / WEIGHTS_FILE
    # A compiled network would save its optimizer state too, which doubles the file.
    keras.Model(network.inputs, network.output, name=network.name).save_weights(file)
    return NetworkFile(file.name, file_sha256(file), network.input_shape[1])
