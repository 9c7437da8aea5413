"""Trained networks to a preset directory. Importing this module loads TensorFlow."""

from dataclasses import replace
from pathlib import Path

import keras

from models.preset import NetworkFile, Preset, digest, write_preset

CLASSIFIER_FILE = "classifier.weights.h5"
SEGMENTER_FILE = "segmenter.weights.h5"


def save_preset(
    directory: Path, preset: Preset, classifier: keras.Model, segmenter: keras.Model
) -> Preset:
    """Write both weight files and ``preset.json``; return ``preset`` with files and digests."""
    directory.mkdir(parents=True, exist_ok=True)
    saved = replace(
        preset,
        classifier=_save(classifier, directory / CLASSIFIER_FILE),
        segmenter=_save(segmenter, directory / SEGMENTER_FILE),
    )
    write_preset(directory, saved)
    return saved


def _save(network: keras.Model, file: Path) -> NetworkFile:
    # An uncompiled twin: a trained network would write its optimizer's state too, twice the weights.
    keras.Model(network.inputs, network.outputs).save_weights(file)
    return NetworkFile(file.name, digest(file), network.input_shape[1])
