"""Frames in, predictions out: the one door to the trained network.

TensorFlow is loaded by `Predictor.load`, not by importing this module.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, special

from models.preprocess import Placement, letterbox, to_frame
from models.preset import DEFAULT_PRESET, Preset, preset_info, read_preset
from models.territory import territories
from models.types import FramePrediction, PresetInfo

__all__ = ["Predictor", "preset_info"]


_Network = Callable[[NDArray[np.uint8]], tuple[Any, Any, Any]]
"""Uint8 ``(b, s, s, 1)`` to logits ``(b, 3)``, activation ``(b, h, w)``, lesion logits."""


class Predictor:
    """A preset's network, ready to use from several threads; one call runs at a time."""

    def __init__(self, preset: Preset, build: Callable[[int], _Network]) -> None:
        self.info: PresetInfo = preset.info
        self._preset = preset
        self._build = build
        self._traced: dict[int, _Network] = {}
        self._lock = threading.Lock()

    @classmethod
    def load(cls, directory: Path | None = None) -> "Predictor":
        """Load the preset in ``directory`` (default: the shipped one). Raises `PresetCorrupt`."""
        directory = directory or DEFAULT_PRESET
        preset = read_preset(directory)
        return cls(preset, _load_networks(directory, preset))

    def predict(
        self, frames: Sequence[NDArray[np.uint8]], *, batch_size: int = 8
    ) -> list[FramePrediction]:
        """Predict each frame, ``(h, w)`` or RGB ``(h, w, 3)`` uint8, of any mix of sizes.

        The first call with a ``batch_size`` traces the network for it. Raises `FrameUnusable`.
        """
        with self._lock:
            return [
                prediction
                for start in range(0, len(frames), batch_size)
                for prediction in self._batch(frames[start : start + batch_size], batch_size)
            ]

    def _batch(
        self, frames: Sequence[NDArray[np.uint8]], batch_size: int
    ) -> Iterator[FramePrediction]:
        inputs, places = _stack(frames, self._preset.network.input_size_px, batch_size)
        answer = self._network(batch_size)(inputs)
        logits, activations, lesions = (np.asarray(x) for x in answer)
        for row, place in enumerate(places):
            mask, lesion_probability = _outlined(to_frame(lesions[row], place), self._preset)
            yield FramePrediction(
                _probabilities(logits[row], self._preset),
                mask,
                np.clip(to_frame(activations[row], place), 0.0, 1.0),
                lesion_probability,
            )

    def _network(self, batch_size: int) -> _Network:
        if batch_size not in self._traced:
            self._traced[batch_size] = self._build(batch_size)
        return self._traced[batch_size]


def _stack(
    frames: Sequence[NDArray[np.uint8]], size_px: int, batch_size: int
) -> tuple[NDArray[np.uint8], list[Placement]]:
    """Letterbox the frames; black images fill the batch, so that the graph has one shape."""
    batch = np.zeros((batch_size, size_px, size_px, 1), np.uint8)
    places = []
    for row, frame in enumerate(frames):
        batch[row, ..., 0], place = letterbox(frame, size_px)
        places.append(place)
    return batch, places


def _probabilities(logits: NDArray[np.float32], preset: Preset) -> tuple[float, float, float]:
    calibrated = logits.astype(np.float64) / preset.temperature + np.array(preset.class_bias)
    normal, benign, malignant = special.softmax(calibrated).tolist()
    return normal, benign, malignant


def _outlined(
    probability: NDArray[np.float32], preset: Preset
) -> tuple[NDArray[np.bool_], NDArray[np.uint8]]:
    """Threshold with hysteresis: a patch counts if it is sure somewhere.

    Of the probability, in 0..255, stays what is not nearest to a patch that does not count.
    """
    above = probability > preset.mask_threshold
    patches, count = ndimage.label(above, np.ones((3, 3)))
    sure = np.zeros(count + 1, np.bool_)
    sure[np.unique(patches[probability > preset.mask_seed_threshold])] = True
    sure[0] = False
    left = np.rint(probability * 255).astype(np.uint8)
    if not sure[1:].all():
        left[~sure[territories(patches)]] = 0
    return sure[patches], left


def _load_networks(directory: Path, preset: Preset) -> Callable[[int], _Network]:
    from models.networks.inference import load_networks, trace

    networks = load_networks(directory, preset)
    return lambda batch_size: trace(
        networks, batch_size, mirrored=preset.mirrored, class_shift=preset.class_shift
    )
