from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.gradcam import by_gradient, closed_form
from models.networks.backbone import build_backbone, settle_batch_norm
from models.networks.classifier import build_classifier, split_classifier
from models.networks.inference import trace
from models.training.dataset import SampleArrays


def backbone(blobs: SampleArrays) -> Any:
    network = build_backbone(64)
    gray = blobs.pixels[..., None].astype(np.float32) / 127.5 - 1
    settle_batch_norm(network, np.repeat(gray, 3, axis=-1))
    return network


@pytest.mark.parametrize("hidden_units", [0, 16])
def test_a_classifier_cut_in_two_computes_the_same(blobs: SampleArrays, hidden_units: int) -> None:
    network = build_classifier(backbone(blobs), hidden_units=hidden_units)
    batch = tf.constant(blobs.pixels[:3, ..., None], tf.float32)
    stem, head = split_classifier(network)

    assert np.allclose(head(stem(batch)), network(batch), atol=1e-5)


def test_the_closed_form_is_the_gradient(blobs: SampleArrays) -> None:
    keras.utils.set_random_seed(3)
    network = build_classifier(backbone(blobs))
    stem, head = split_classifier(network)
    features = stem(tf.constant(blobs.pixels[..., None], tf.float32), training=False)
    logits, slow = by_gradient(features, head)

    fast = closed_form(features, logits, head.get_layer("logits").kernel)

    assert np.allclose(fast, slow, atol=1e-4)
    assert np.asarray(fast).max() == pytest.approx(1)


def test_it_shows_the_predicted_class_and_nothing_that_speaks_against_it() -> None:
    features = np.zeros((1, 2, 2, 2), np.float32)
    features[0, 0, 0, 0] = 4  # speaks for the class
    features[0, 0, 1, 0] = 1
    features[0, 1, 1, 1] = 9  # speaks against it
    kernel = np.array([[0.0, 2.0, 0.0], [1.0, -1.0, 0.0]], np.float32)

    heat = closed_form(features, np.array([[0.0, 5.0, 1.0]], np.float32), kernel)

    assert np.asarray(heat).tolist() == [[[1.0, 0.25], [0.0, 0.0]]]


def test_where_nothing_speaks_for_the_class_the_map_is_empty() -> None:
    heat = closed_form(-np.ones((1, 2, 2, 1), np.float32), np.ones((1, 3), np.float32),
                       np.ones((1, 3), np.float32))  # fmt: skip

    assert np.asarray(heat).max() == 0


@pytest.mark.parametrize("hidden_units", [0, 16])
def test_a_traced_network_explains_itself_and_keeps_its_logits(
    blobs: SampleArrays, hidden_units: int
) -> None:
    network = build_classifier(backbone(blobs), hidden_units=hidden_units)
    batch = blobs.pixels[:2, ..., None]
    classify, _ = trace(network, network, batch_size=2)

    logits, heat = classify(batch)

    assert np.allclose(logits, network(batch.astype(np.float32)), atol=1e-4)
    assert heat.shape == (2, 2, 2)
