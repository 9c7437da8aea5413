"""The resources that jobs use."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from db.engine import Database
from db.files import FileStore
from db.routes_file import RoutesFile
from workers.pipeline.types import FramePredictor
from workers.settings import WorkerSettings

logger = logging.getLogger(__name__)

PredictorLoader = Callable[[Path | None], FramePredictor]
"""Loads the preset in a directory; None stands for the one shipped with Sonogate. Raises
ModelError."""


def load_predictor(directory: Path | None) -> FramePredictor:
    """Load trained networks, and TensorFlow with them."""
    from models.predictor import Predictor

    return Predictor.load(directory)


class LazyPredictor:
    """A predictor that is loaded at the first call and kept in memory.

    If loading fails, the next call tries again: the preset may have been repaired meanwhile.
    """

    def __init__(self, directory: Path | None, load: PredictorLoader = load_predictor) -> None:
        self._directory = directory
        self._load = load
        self._lock = threading.Lock()
        self._predictor: FramePredictor | None = None

    def __call__(self) -> FramePredictor:
        """Return the predictor. Raises ModelError."""
        with self._lock:
            if self._predictor is None:
                self._predictor = self._load(self._directory)
                info = self._predictor.info
                logger.info("networks loaded: preset %s %s", info.name, info.version)
            return self._predictor


@dataclass(frozen=True)
class WorkerServices:
    """Opened once per process; safe to use from several threads."""

    settings: WorkerSettings
    database: Database
    store: FileStore
    predictor: Callable[[], FramePredictor]
    routes: RoutesFile
    shadow: Callable[[], FramePredictor] | None = None
    """The networks of the shadow preset, if there is one."""
