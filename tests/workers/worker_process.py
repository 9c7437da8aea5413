"""A real worker with a fake predictor: ``python -m tests.workers.worker_process [SECONDS]``.

SECONDS is the time per batch, so that a test can kill the worker meanwhile.
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
from tests.workers.fake_images import FakePredictor, Pixels
from tests.workers.gateway import Gateway
from workers.main import run
from workers.settings import WorkerSettings


class SlowPredictor(FakePredictor):
    """Takes its time."""

    def __init__(self, seconds: float, preset: str) -> None:
        super().__init__()
        self.info = replace(self.info, name=preset)
        self._seconds = seconds

    def predict(self, frames: Sequence[Pixels], *, batch_size: int = 8) -> list[FramePrediction]:
        time.sleep(self._seconds)
        return super().predict(frames, batch_size=batch_size)


@contextmanager
def worker(
    gateway: Gateway, redis_url: str, *, seconds: float = 0.0, lease_seconds: float = 60.0
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a worker process on the gateway's database and files, with short intervals."""
    home = gateway.services.settings.home
    environment = {
        **os.environ,
        "SONOGATE_HOME": str(home),
        "SONOGATE_DATABASE_URL": gateway.database.url,
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
