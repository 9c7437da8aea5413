from pathlib import Path

import keras
import numpy as np

from models.networks.backbone import build_backbone, initialize_batch_norm, restore_batch_norm


def images(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (count, 64, 64, 3)).astype(np.float32)


def test_restoring_batch_norm_does_not_change_the_output(shared_data: Path) -> None:
    backbone = build_backbone(64, shared_data / "weights" / "mobilenet_v2_1.0_224_notop.weights.h5")
    before = np.asarray(backbone(images(2, seed=1), training=False))

    restore_batch_norm(backbone, images(12, seed=0))

    after = np.asarray(backbone(images(2, seed=1), training=False))
    assert np.abs(after - before).max() < 2e-3
    norm = backbone.get_layer("block_3_expand_BN")
    assert not np.allclose(norm.moving_variance, 1)


def test_restored_statistics_are_those_of_the_images() -> None:
    keras.utils.set_random_seed(0)
    backbone = build_backbone(64)
    some = images(11, seed=0)
    norm = backbone.get_layer("Conv1").output
    expected = np.asarray(keras.Model(backbone.input, norm)(some))

    restore_batch_norm(backbone, some)

    stored = backbone.get_layer("bn_Conv1")
    assert np.allclose(stored.moving_mean, expected.mean((0, 1, 2)), atol=1e-5)
    assert np.allclose(stored.moving_variance, expected.var((0, 1, 2)), rtol=1e-3)


def test_initialized_batch_norm_keeps_activations_from_vanishing() -> None:
    keras.utils.set_random_seed(0)
    backbone = build_backbone(64)
    assert np.asarray(backbone(images(4, seed=1), training=False)).max() < 1e-3

    initialize_batch_norm(backbone, images(16, seed=0))

    assert 0.2 < np.asarray(backbone(images(4, seed=1), training=False)).max() <= 6
    assert (
        backbone.get_layer("bn_Conv1").momentum == build_backbone(64).get_layer("bn_Conv1").momentum
    )
