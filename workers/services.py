"""What a job may use."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from db.engine import Database
from db.files import FileStore
from db.route_book import RouteBook
from workers.pipeline.types import FramePredictor
from workers.settings import WorkerSettings

logger = logging.getLogger(__name__)

Loader = Callable[[Path | None], FramePredictor]
"""Loads the preset in a directory, the shipped one when None. Raises ModelError."""


def load_predictor(directory: Path | None) -> FramePredictor:
    """Load the trained networks, and TensorFlow with them."""
    from models.predictor import Predictor

    return Predictor.load(directory)


class LazyPredictor:
    """The networks, loaded once at the first call and kept warm.

    A load that failed is tried again by the next call: a preset may be repaired while we run.
    """

    def __init__(self, directory: Path | None, load: Loader = load_predictor) -> None:
        self._directory = directory
        self._load = load
        self._lock = threading.Lock()
        self._predictor: FramePredictor | None = None

    def __call__(self) -> FramePredictor:
        """Raises ModelError."""
        with self._lock:
            if self._predictor is None:
                self._predictor = self._load(self._directory)
                info = self._predictor.info
                logger.info("the networks are loaded: preset %s %s", info.name, info.version)
            return self._predictor


@dataclass(frozen=True)
class Services:
    """Opened once per process; safe to use from several threads."""

    settings: WorkerSettings
    database: Database
    store: FileStore
    predictor: Callable[[], FramePredictor]
    routes: RouteBook
    shadow: Callable[[], FramePredictor] | None = None
    """The networks of the shadow preset; None: there is none."""
