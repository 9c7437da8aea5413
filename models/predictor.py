"""Prediction of frames with a preset.

`Predictor.load` loads TensorFlow; importing this module does not.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, special

from models.preprocess import letterbox, to_frame
from models.preset import DEFAULT_PRESET, Preset, preset_info, read_preset
from models.territory import territories
from models.types import FramePrediction, PresetInfo

__all__ = ["Predictor", "preset_info"]


_TracedNetwork = Callable[[NDArray[np.uint8]], tuple[Any, Any, Any]]
"""Takes uint8 ``(b, s, s, 1)``, returns `models.networks.inference.InferenceOutput`."""


class Predictor:
    """A loaded preset. It can be used from several threads; one call runs at a time."""

    def __init__(self, preset: Preset, trace: Callable[[int], _TracedNetwork]) -> None:
        self.info: PresetInfo = preset.info
        self._preset = preset
        self._trace = trace
        self._traced: dict[int, _TracedNetwork] = {}
        self._lock = threading.Lock()

    @classmethod
    def load(cls, directory: Path | None = None) -> "Predictor":
        """Load the preset in ``directory`` (default: the shipped one).

        Raises:
            PresetCorrupt: a file is missing or does not match its digest.
        """
        from models.networks.inference import load_networks, trace

        directory = directory or DEFAULT_PRESET
        preset = read_preset(directory)
        networks = load_networks(directory, preset)
        return cls(
            preset,
            lambda batch_size: trace(
                networks, batch_size, mirrored=preset.mirrored, class_shift=preset.class_shift
            ),
        )

    def predict(
        self, frames: Sequence[NDArray[np.uint8]], *, batch_size: int = 8
    ) -> list[FramePrediction]:
        """Predict frames, each uint8 ``(h, w)`` or RGB ``(h, w, 3)`` of any size.

        The first call with a ``batch_size`` traces the network for it, which takes seconds.

        Raises:
            FrameUnusable: a frame has another shape or type.
        """
        with self._lock:
            return [
                prediction
                for start in range(0, len(frames), batch_size)
                for prediction in self._predict_batch(
                    frames[start : start + batch_size], batch_size
                )
            ]

    def _predict_batch(
        self, frames: Sequence[NDArray[np.uint8]], batch_size: int
    ) -> Iterator[FramePrediction]:
        size_px = self._preset.network.input_size_px
        # Black images fill an incomplete batch, because the traced graph has a fixed shape.
        pixels = np.zeros((batch_size, size_px, size_px, 1), np.uint8)
        placements = []
        for row, frame in enumerate(frames):
            pixels[row, ..., 0], placement = letterbox(frame, size_px)
            placements.append(placement)
        if batch_size not in self._traced:
            self._traced[batch_size] = self._trace(batch_size)
        logits, heatmaps, lesions = (np.asarray(x) for x in self._traced[batch_size](pixels))
        for row, placement in enumerate(placements):
            mask, lesion_probability = segment_lesions(
                to_frame(lesions[row], placement), self._preset
            )
            scaled = logits[row].astype(np.float64) / self._preset.temperature
            probabilities = special.softmax(scaled + np.array(self._preset.class_bias))
            normal, benign, malignant = probabilities.tolist()
            yield FramePrediction(
                (normal, benign, malignant),
                mask,
                np.clip(to_frame(heatmaps[row], placement), 0.0, 1.0),
                lesion_probability,
            )


def segment_lesions(
    probability: NDArray[np.float32], preset: Preset
) -> tuple[NDArray[np.bool_], NDArray[np.uint8]]:
    """Apply the mask thresholds of a preset (hysteresis) to lesion probabilities ``(h, w)``.

    Returns the mask, and the probabilities in 0..255. The latter are 0 where the nearest patch
    above ``mask_threshold`` does not reach ``mask_seed_threshold`` and is not part of the mask.
    """
    above = probability > preset.mask_threshold
    patches, count = ndimage.label(above, np.ones((3, 3)))
    has_seed = np.zeros(count + 1, np.bool_)
    has_seed[np.unique(patches[probability > preset.mask_seed_threshold])] = True
    has_seed[0] = False
    scaled = np.rint(probability * 255).astype(np.uint8)
    if not has_seed[1:].all():
        scaled[~has_seed[territories(patches)]] = 0
    return has_seed[patches], scaled
