"""A real worker whose networks see paint: ``python -m tests.workers.worker_process [SECONDS]``.

SECONDS is how long its networks take for a batch, so that there is time to kill it.
"""

import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from models.types import FramePrediction
from tests import peers
from tests.workers.hospital import Hospital
from tests.workers.painted import PaintedPredictor, Picture
from workers.main import run
from workers.settings import WorkerSettings


class SlowPredictor(PaintedPredictor):
    """Takes its time."""

    def __init__(self, seconds: float, preset: str) -> None:
        super().__init__()
        self.info = replace(self.info, name=preset)
        self._seconds = seconds

    def predict(self, frames: Sequence[Picture], *, batch_size: int = 8) -> list[FramePrediction]:
        time.sleep(self._seconds)
        return super().predict(frames, batch_size=batch_size)


@contextmanager
def worker(
    hospital: Hospital, redis_url: str, *, seconds: float = 0.0, lease_seconds: float = 60.0
) -> Iterator[subprocess.Popen[bytes]]:
    """The process, on the hospital's rows and files; impatient, so that tests need not wait."""
    home = hospital.services.settings.home
    environment = {
        **os.environ,
        "SONOGATE_HOME": str(home),
        "SONOGATE_DATABASE_URL": hospital.database.url,
        "SONOGATE_REDIS_URL": redis_url,
        "SONOGATE_MIN_FREE_BYTES": "0",
        "SONOGATE_SWEEP_INTERVAL_SECONDS": "0.2",
        "SONOGATE_LEASE_SECONDS": str(lease_seconds),
        "SONOGATE_REDISPATCH_SECONDS": "3",
    }
    command = [sys.executable, "-m", "tests.workers.worker_process", str(seconds)]
    with peers.run_process(command, log=home / "worker.log", env=environment) as process:
        yield process


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(threadName)s %(message)s")
    patience = float(sys.argv[1]) if len(sys.argv) > 1 else 0.0
    run(WorkerSettings.load(), lambda at: SlowPredictor(patience, at.name if at else "painted"))
