"""Where an interrupted training goes on: everything that the next epoch depends on, in one file."""

import json
import logging
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from models.networks.layers import Tensor
from models.whole_file import replacing

logger = logging.getLogger(__name__)

FILE = "checkpoint.npz"
State = list[NDArray[Any]]


@dataclass
class Course:
    """How far a training has come; one entry an epoch."""

    losses: list[float] = field(default_factory=list)
    validation_losses: list[float] = field(default_factory=list)

    @property
    def watched(self) -> list[float]:
        """The losses that early stopping and plateaus go by."""
        return self.validation_losses or self.losses

    @property
    def stalled(self) -> int:
        """Epochs since the best one."""
        return len(self.watched) - 1 - int(np.argmin(self.watched)) if self.watched else 0


def state_of(network: keras.Model) -> State:
    """Copy weights, random states of layers, and all that the optimizer remembers."""
    return [np.array(keras.ops.convert_to_numpy(x)) for x in _variables(network)]


def restore(network: keras.Model, state: State) -> None:
    """Put back what `state_of` copied."""
    for variable, value in zip(_variables(network), state, strict=True):
        variable.assign(value)


@dataclass(frozen=True)
class Checkpoint:
    """The file of one training; ``identity`` says of which, so that no other takes it up."""

    directory: Path
    identity: str

    def save(
        self, network: keras.Model, rng: np.random.Generator, course: Course, best: State
    ) -> None:
        """Replace the file by the state after the epoch that just ended."""
        facts = {"identity": self.identity, "rng": rng.bit_generator.state, **asdict(course)}
        arrays = {f"now_{n}": x for n, x in enumerate(state_of(network))}
        arrays |= {f"best_{n}": x for n, x in enumerate(best)}
        self.directory.mkdir(parents=True, exist_ok=True)
        with replacing(self.directory / FILE) as stream:
            np.savez(stream, allow_pickle=False, facts=np.array(json.dumps(facts)), **arrays)

    def resume(self, network: keras.Model, rng: np.random.Generator) -> tuple[Course, State]:
        """Restore the last epoch's state if there is one; return how far it had come, and its best."""
        facts, now, best = self._read()
        if facts.pop("identity", None) != self.identity:
            return Course(), []
        if [x.shape for x in now] != [tuple(x.shape) for x in _variables(network)]:
            logger.warning("%s is of another network: training starts anew", FILE)
            return Course(), []
        restore(network, now)
        rng.bit_generator.state = facts.pop("rng")
        return Course(**facts), best

    def discard(self) -> None:
        """Remove the file: the training is over."""
        (self.directory / FILE).unlink(missing_ok=True)

    def _read(self) -> tuple[dict[str, Any], State, State]:
        file = self.directory / FILE
        if not file.is_file():
            return {}, [], []
        try:
            with file.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
                now, best = (_listed(stored, prefix) for prefix in ("now", "best"))
                return json.loads(stored["facts"].item()), now, best
        except Exception as error:  # noqa: BLE001  whatever zipfile or NumPy stumble over
            logger.warning("%s cannot be read (%s): training starts anew", file.name, error)
            return {}, [], []


def _listed(stored: Any, prefix: str) -> State:
    count = sum(name.startswith(f"{prefix}_") for name in stored.files)
    return [stored[f"{prefix}_{n}"] for n in range(count)]


def _variables(network: keras.Model) -> list[Tensor]:
    return [*network.variables, *network.optimizer.variables]
