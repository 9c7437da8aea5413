"""Networks that need no TensorFlow, with the interface of `models.predictor.Predictor`."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.types import FramePrediction, PresetInfo

BRIGHT = 200


class BrightSpots:
    """Outlines whatever is brighter than `BRIGHT`, and calls it malignant."""

    info = PresetInfo("bright-spots", "1", "c" * 64, "5" * 64)

    def predict(
        self, frames: Sequence[NDArray[np.uint8]], *, batch_size: int = 8
    ) -> list[FramePrediction]:
        return [self._predict(frame if frame.ndim == 2 else frame.max(axis=2)) for frame in frames]

    def _predict(self, gray: NDArray[np.uint8]) -> FramePrediction:
        mask = gray > BRIGHT
        probabilities = (0.1, 0.2, 0.7) if mask.any() else (0.8, 0.15, 0.05)
        return FramePrediction(probabilities, mask, (gray / 255).astype(np.float32))
