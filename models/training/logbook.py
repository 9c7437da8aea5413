"""What TensorBoard shows of a training: losses by epoch, a fold's figures when it is scored."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Logbook:
    """Scalars of one training, below ``directory``: ``train``, ``validation`` and ``held-out``."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._writers: dict[str, Any] = {}

    def epoch(self, number: int, loss: float, validation_loss: float | None) -> None:
        """Note the losses of one epoch."""
        self._write("train", "loss", loss, number)
        if validation_loss is not None:
            self._write("validation", "loss", validation_loss, number)

    def figures(self, values: Mapping[str, float]) -> None:
        """Note figures on held-out images."""
        for name, value in values.items():
            self._write("held-out", name, value, 0)

    def close(self) -> None:
        """Write what is still in memory."""
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
