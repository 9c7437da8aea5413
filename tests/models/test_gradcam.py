from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.data.dataset import SampleArrays
from models.gradcam import (
    PooledFeatures,
    closed_form_map,
    gradient_map,
    logit_contributions,
    normalize_maps,
)
from models.networks.backbone import build_backbone, initialize_batch_norm
from models.networks.build import build_network
from models.networks.inference import NO_SHIFT, ensemble_inference, trace
from models.networks.joint import POOLS, build_joint
from models.networks.layers import FEATURES
from models.networks.unet import build_unet
from models.recipe import Recipe, read_recipe


@pytest.fixture(scope="module")
def network(blobs: SampleArrays) -> Any:
    keras.utils.set_random_seed(3)
    backbone = build_backbone(64)
    gray = blobs.pixels[..., None].astype(np.float32) / 127.5 - 1
    initialize_batch_norm(backbone, np.repeat(gray, 3, axis=-1))
    return build_joint(backbone)


def by_definition(network: Any, batch: Any, shift: Sequence[float] = NO_SHIFT) -> np.ndarray:
    """Multiply features and gradient per location; distribute coarse cells over the fine grid."""
    pools, rest = [network.get_layer(name) for name in POOLS], network.get_layer("pooled")
    inner = keras.Model(network.input, [[pool.input for pool in pools], rest.input[-1]])
    read, peak = inner(batch, training=False)
    features = [each[0] for each in read]
    with tf.GradientTape() as tape:
        tape.watch(features)
        pooled = [pool(each) for pool, each in zip(pools, read, strict=True)]
        logits = network.get_layer("class")(rest([*pooled, peak]))
        shown = tf.argmax(logits + tf.constant(shift, tf.float32), axis=-1)
        said = tf.gather(logits, shown, batch_dims=1)
    coarse, fine = (
        tf.reduce_sum(gradient * each, -1, keepdims=True)
        for gradient, each in zip(tape.gradient(said, features), features, strict=True)
    )
    cells = (fine.shape[1] / coarse.shape[1]) ** 2
    heat = fine + tf.image.resize(coarse, fine.shape[1:3]) / cells
    return np.asarray(normalize_maps(tf.nn.relu(heat[..., 0])))


def test_contributions_sum_to_the_logit(network: Any, blobs: SampleArrays) -> None:
    batch = tf.constant(blobs.pixels[..., None], tf.float32)
    pools = [network.get_layer(name) for name in POOLS]
    head, kernel = network.get_layer("class"), np.asarray(network.get_layer("class").kernel)
    inner = keras.Model(
        network.input,
        [network.output["class"], network.get_layer("peak").output, *(p.input for p in pools)],
    )
    logits, peak, *read = inner(batch, training=False)

    deep = pools[0].output.shape[-1]
    rows = kernel[:deep], kernel[deep:-1]
    for shown in range(3):
        predicted = np.full(len(batch), shown)
        added = sum(
            np.asarray(logit_contributions(PooledFeatures(each[0], each[1], part), predicted)).sum(
                (1, 2)
            )
            for each, part in zip(read, rows, strict=True)
        )
        off_grid = np.asarray(peak)[:, 0] * kernel[-1, shown] + np.asarray(head.bias)[shown]
        assert np.allclose(added + off_grid, logits[:, shown], atol=1e-3)


def test_the_closed_form_equals_the_gradient(network: Any, blobs: SampleArrays) -> None:
    batch = tf.constant(blobs.pixels[..., None], tf.float32)

    _, heat, _ = ensemble_inference([network])(batch)

    assert np.allclose(heat, by_definition(network, batch), atol=1e-4)
    assert np.asarray(heat).max() == pytest.approx(1)


@pytest.mark.parametrize("shown", range(3))
def test_the_heat_map_is_of_the_class_predicted_after_calibration(
    network: Any, blobs: SampleArrays, shown: int
) -> None:
    batch = tf.constant(blobs.pixels[:4, ..., None], tf.float32)
    shift = [100.0 * (kind == shown) for kind in range(3)]

    logits, heat, _ = ensemble_inference([network], class_shift=shift)(batch)

    assert np.allclose(heat, by_definition(network, batch, shift), atol=1e-4)
    assert np.allclose(logits, network(batch)["class"], atol=1e-4)


def test_negative_contributions_are_not_shown() -> None:
    features = np.zeros((1, 2, 2, 2), np.float32)
    features[0, 0, 0, 0] = 4  # supports the class
    features[0, 0, 1, 0] = 1
    features[0, 1, 1, 1] = 9  # opposes it
    kernel = np.array([[0.0, 2.0, 0.0], [1.0, -1.0, 0.0]], np.float32)
    evenly = np.full((1, 2, 2, 1), 0.25, np.float32)

    heat = normalize_maps(
        closed_form_map([PooledFeatures(features, evenly, kernel)], np.array([1]))
    )

    assert np.asarray(heat).tolist() == [[[1.0, 0.25], [0.0, 0.0]]]


def test_each_pooling_contributes_at_its_locations() -> None:
    features = np.ones((1, 1, 2, 1), np.float32)
    pooling = np.array([[[[0.5, 0.0], [0.5, 0.1]]]], np.float32)
    kernel = np.array([[3.0], [20.0]], np.float32)

    heat = closed_form_map([PooledFeatures(features, pooling, kernel)], np.array([0]))

    assert np.allclose(heat, [[[3.0 * 0.5, 3.0 * 0.5 + 20.0 * 0.1]]])


def test_a_coarse_cell_is_distributed_over_the_finer_cells() -> None:
    one, kernel = np.ones((1, 1, 1, 1), np.float32), np.array([[8.0]], np.float32)
    fine = np.zeros((1, 2, 2, 1), np.float32)
    fine[0, 0, 1] = 1

    heat = closed_form_map(
        [PooledFeatures(one, one, kernel), PooledFeatures(fine, np.ones_like(fine), kernel)],
        np.array([0]),
    )

    assert np.allclose(heat, [[[2, 10], [2, 2]]])


def test_a_map_without_positive_contributions_is_zero() -> None:
    evenly, kernel = np.ones((1, 2, 2, 1), np.float32), np.ones((1, 3), np.float32)

    heat = normalize_maps(closed_form_map([PooledFeatures(-evenly, evenly, kernel)], np.array([0])))

    assert np.asarray(heat).max() == 0


def test_tracing_does_not_change_the_outputs(network: Any, blobs: SampleArrays) -> None:
    batch = blobs.pixels[:2, ..., None]
    said = network(batch.astype(np.float32))

    logits, heat, lesion = trace([network], batch_size=2)(batch)

    assert np.allclose(logits, said["class"], atol=1e-3)
    assert np.allclose(lesion, tf.sigmoid(said["lesion"])[..., 0], atol=1e-3)
    assert heat.shape == (2, 8, 8)


def test_mirrored_inference_gives_mirrored_outputs(network: Any, blobs: SampleArrays) -> None:
    batch = tf.constant(blobs.pixels[:4, ..., None], tf.float32)
    call = ensemble_inference([network], mirrored=True)

    logits, heat, lesion = call(batch)
    mirrored = call(batch[:, :, ::-1])

    assert np.allclose(logits, mirrored[0], atol=1e-3)
    assert np.allclose(heat, mirrored[1][:, :, ::-1], atol=1e-3)
    assert np.allclose(lesion, mirrored[2][:, :, ::-1], atol=1e-3)
    assert np.asarray(heat).max((1, 2)) == pytest.approx(1)
    straight = network(batch)["class"], network(batch[:, :, ::-1])["class"]
    assert np.allclose(logits, np.mean(straight, axis=0), atol=1e-3)


def test_the_outputs_of_several_networks_are_averaged(network: Any, blobs: SampleArrays) -> None:
    other = keras.models.clone_model(network)
    batch = tf.constant(blobs.pixels[:2, ..., None], tf.float32)

    logits, heat, lesion = ensemble_inference([network, other])(batch)

    each = [ensemble_inference([one])(batch) for one in (network, other)]
    assert np.allclose(logits, (each[0][0] + each[1][0]) / 2, atol=1e-4)
    assert np.allclose(lesion, (each[0][2] + each[1][2]) / 2, atol=1e-3)
    assert heat.shape == each[0][1].shape


@pytest.mark.parametrize("hidden", [(), ({"layer": "Dense", "arguments": {"units": 8}},)])
def test_the_gradient_agrees_with_the_closed_form(hidden: tuple[dict[str, object], ...]) -> None:
    values = read_recipe("mobilenetv2-transfer").model_dump()
    values["input"]["size_px"] = 64
    values["network"]["head"] = [{"layer": "GlobalAveragePooling2D"}, *hidden]
    network = build_network(Recipe.model_validate(values))
    batch = tf.constant(np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3)), tf.float32)

    logits, heat = tf.function(gradient_map(network, FEATURES))(batch)

    features = keras.Model(network.input, network.get_layer("features").output)(batch)
    pooling = np.full((*features.shape[:3], 1), 1 / (features.shape[1] * features.shape[2]), "f4")
    # Dense layers without activation equal a single one, so the closed form applies.
    dense = [np.asarray(each.kernel) for each in network.layers if hasattr(each, "units")]
    kernel = dense[0] if len(dense) == 1 else dense[0] @ dense[1]
    exact = closed_form_map([PooledFeatures(features, pooling, kernel)], tf.argmax(logits, axis=-1))
    assert len(dense) == 1 + len(hidden)
    # Outputs of a network with random weights are tiny, so only normalized maps are compared.
    assert np.asarray(normalize_maps(heat)).max() == pytest.approx(1)
    assert np.allclose(normalize_maps(heat), normalize_maps(exact), atol=1e-3)


@pytest.mark.parametrize("kin", [False, True])
def test_the_heat_map_of_a_mask_is_the_gradient_of_its_logits(kin: bool) -> None:
    keras.utils.set_random_seed(3)
    network = build_unet(64, (8, 16), residual=kin, attention=kin)
    batch = tf.constant(np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 1)), tf.float32)

    logits, heat = tf.function(gradient_map(network, FEATURES))(batch)

    whole = keras.Model(network.input, [network.get_layer(FEATURES).output, network.output])
    with tf.GradientTape() as tape:
        tape.watch(batch)
        features, said = whole(batch, training=False)
        outlined = tf.reduce_sum(said[said > 0])
    gradient = np.asarray(tape.gradient(outlined, features))
    expected = np.maximum((gradient * np.asarray(features)).sum(-1), 0)
    assert np.allclose(logits, said, atol=1e-4)
    assert expected.any()
    assert np.allclose(heat, expected, atol=1e-2 * expected.max())  # signs near 0
