"""TensorBoard logs of a training run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any


class TensorBoardLog:
    """Writes scalars below ``directory``, as runs ``train``, ``validation`` and ``held-out``."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._writers: dict[str, Any] = {}

    def log_epoch(self, epoch: int, loss: float, validation_loss: float | None) -> None:
        """Write the losses of one epoch."""
        self._write("train", "loss", loss, epoch)
        if validation_loss is not None:
            self._write("validation", "loss", validation_loss, epoch)

    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        """Write metrics on held-out images."""
        for name, value in metrics.items():
            self._write("held-out", name, value, 0)

    def close(self) -> None:
        """Close all files."""
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()

    def _write(self, run: str, name: str, value: float, step: int) -> None:
        import tensorflow as tf

        if run not in self._writers:
            self._writers[run] = tf.summary.create_file_writer(str(self._directory / run))
        with self._writers[run].as_default():
            tf.summary.scalar(name, value, step=step)
        self._writers[run].flush()
