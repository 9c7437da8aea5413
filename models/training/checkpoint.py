"""Checkpoints, from which an interrupted training continues after its last complete epoch."""

import json
import logging
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from models.atomic_write import open_atomically
from models.networks.layers import Tensor

logger = logging.getLogger(__name__)

FILE = "checkpoint.npz"
State = list[NDArray[Any]]
"""The values of all variables of a network and its optimizer."""


@dataclass
class TrainingHistory:
    """Losses of the epochs completed so far."""

    losses: list[float] = field(default_factory=list)
    validation_losses: list[float] = field(default_factory=list)

    @property
    def epochs_since_best(self) -> int:
        """Epochs since the lowest validation loss, or training loss if there is no validation."""
        monitored = self.validation_losses or self.losses
        return len(monitored) - 1 - int(np.argmin(monitored)) if monitored else 0


def get_state(network: keras.Model) -> State:
    """Copy weights, random states of layers and optimizer variables."""
    return [np.array(keras.ops.convert_to_numpy(x)) for x in _variables(network)]


def set_state(network: keras.Model, state: State) -> None:
    """Restore what `get_state` copied."""
    for variable, value in zip(_variables(network), state, strict=True):
        variable.assign(value)


@dataclass(frozen=True)
class Checkpoint:
    """The checkpoint file of the training that ``identity`` identifies."""

    directory: Path
    identity: str

    def save(
        self, network: keras.Model, rng: np.random.Generator, history: TrainingHistory, best: State
    ) -> None:
        """Replace the file by the state after an epoch. ``best`` is the state to return to."""
        values = {"identity": self.identity, "rng": rng.bit_generator.state, **asdict(history)}
        arrays = {f"current_{n}": x for n, x in enumerate(get_state(network))}
        arrays |= {f"best_{n}": x for n, x in enumerate(best)}
        self.directory.mkdir(parents=True, exist_ok=True)
        with open_atomically(self.directory / FILE) as stream:
            np.savez(stream, allow_pickle=False, values=np.array(json.dumps(values)), **arrays)

    def resume(
        self, network: keras.Model, rng: np.random.Generator
    ) -> tuple[TrainingHistory, State]:
        """Restore the last saved state; return the history and the best state.

        A file of another training, or one that cannot be read, is ignored.
        """
        values, current, best = self._load()
        if values.pop("identity", None) != self.identity:
            return TrainingHistory(), []
        if [x.shape for x in current] != [tuple(x.shape) for x in _variables(network)]:
            logger.warning("%s is of another network; training starts from the beginning", FILE)
            return TrainingHistory(), []
        set_state(network, current)
        rng.bit_generator.state = values.pop("rng")
        return TrainingHistory(**values), best

    def discard(self) -> None:
        """Remove the file once training has finished."""
        (self.directory / FILE).unlink(missing_ok=True)

    def _load(self) -> tuple[dict[str, Any], State, State]:
        file = self.directory / FILE
        if not file.is_file():
            return {}, [], []
        try:
            with file.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
                current, best = (
                    [stored[name] for name in stored.files if name.startswith(f"{prefix}_")]
                    for prefix in ("current", "best")
                )
                return json.loads(stored["values"].item()), current, best
        except Exception as error:  # noqa: BLE001  zipfile and NumPy raise many kinds
            logger.warning(
                "%s cannot be read (%s); training starts from the beginning", file.name, error
            )
            return {}, [], []


def _variables(network: keras.Model) -> list[Tensor]:
    return [*network.variables, *network.optimizer.variables]
