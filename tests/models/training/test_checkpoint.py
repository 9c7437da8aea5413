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
    """The smallest network that can be trained."""
    import keras

    made = keras.Sequential([keras.Input((2,)), keras.layers.Dense(outputs)])
    made.compile("adam", "mse")
    made.optimizer.build(made.trainable_variables)
    return made


def flipped(whole: bytes) -> bytes:
    middle = len(whole) // 2
    return whole[:middle] + bytes([whole[middle] ^ 0xFF]) + whole[middle + 1 :]


def test_what_was_saved_is_taken_up(tmp_path: Path) -> None:
    rng, saved, other = np.random.default_rng(3), network(), network()
    checkpoint = Checkpoint(tmp_path, "this one")
    checkpoint.save(saved, rng, TrainingHistory([2.0, 1.0]), get_state(saved))

    again = np.random.default_rng(4)
    course, best = checkpoint.resume(other, again)

    assert course.losses == [2.0, 1.0]
    assert all(np.array_equal(x, y) for x, y in zip(best, get_state(other), strict=True))
    assert again.random() == rng.random()
    assert [x.name for x in tmp_path.iterdir()] == [FILE]


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: b"",
        lambda _: b"PK half a file",
        lambda whole: whole[: len(whole) // 2],
        lambda whole: whole[: len(whole) // 2] + whole[-200:],
        flipped,
        lambda _: b"\x93NUMPY\x01\x00v\x00{'descr': '<f4'",
    ],
    ids=["empty", "no zip", "cut short", "a hole", "a flipped byte", "no archive"],
)
def test_a_damaged_one_is_said_and_training_starts_anew(
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


def test_one_of_a_network_built_otherwise_is_left(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoint = Checkpoint(tmp_path, "this one")
    checkpoint.save(network(1), np.random.default_rng(), TrainingHistory([1.0]), [])

    assert checkpoint.resume(network(2), np.random.default_rng()) == (TrainingHistory(), [])

    assert "is of another network; training starts from the beginning" in caplog.text
