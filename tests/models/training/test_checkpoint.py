from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.training.checkpoint import FILE, Checkpoint, TrainingHistory, get_state

pytestmark = pytest.mark.filterwarnings(
    # Keras 3.15 reads TensorFlow variables in a way that NumPy 2 warns about.
    "ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"
)


def network(outputs: int = 1) -> Any:
    """A network with a single dense layer."""
    import keras

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(outputs)])
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    return model


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 0xFF]) + content[middle + 1 :]


def test_a_saved_checkpoint_is_resumed(tmp_path: Path) -> None:
    rng, saved, other = np.random.default_rng(3), network(), network()
    checkpoint = Checkpoint(tmp_path, "this one")
    checkpoint.save(saved, rng, TrainingHistory([2.0, 1.0]), get_state(saved))

    again = np.random.default_rng(4)
    history, best = checkpoint.resume(other, again)

    assert history.losses == [2.0, 1.0]
    assert all(np.array_equal(x, y) for x, y in zip(best, get_state(other), strict=True))
    assert again.random() == rng.random()
    assert [x.name for x in tmp_path.iterdir()] == [FILE]


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: b"",
        lambda _: b"PK half a file",
        lambda content: content[: len(content) // 2],
        lambda content: content[: len(content) // 2] + content[-200:],
        flipped,
        lambda _: b"\x93NUMPY\x01\x00v\x00{'descr': '<f4'",
    ],
    ids=["empty", "no zip", "cut short", "a hole", "a flipped byte", "no archive"],
)
def test_a_damaged_checkpoint_is_logged_and_ignored(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[bytes], bytes]
) -> None:
    saved, fresh = network(), network()
    checkpoint, before = Checkpoint(tmp_path, "this one"), get_state(fresh)
    checkpoint.save(saved, np.random.default_rng(), TrainingHistory([1.0]), get_state(saved))
    (tmp_path / FILE).write_bytes(damage((tmp_path / FILE).read_bytes()))

    assert checkpoint.resume(fresh, np.random.default_rng()) == (TrainingHistory(), [])

    assert "cannot be read" in caplog.text
    assert "training starts from the beginning" in caplog.text
    assert all(np.array_equal(x, y) for x, y in zip(before, get_state(fresh), strict=True))


def test_a_checkpoint_of_another_architecture_is_ignored(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoint = Checkpoint(tmp_path, "this one")
    checkpoint.save(network(1), np.random.default_rng(), TrainingHistory([1.0]), [])

    assert checkpoint.resume(network(2), np.random.default_rng()) == (TrainingHistory(), [])

    assert "is of another network; training starts from the beginning" in caplog.text
