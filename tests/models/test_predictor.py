from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dicom.terms.classification import CLASSES
from models.phantom import make_phantom
from models.predictor import Predictor, segment_lesions
from models.preset import (
    DEFAULT_PRESET,
    NetworkFile,
    Preset,
    file_sha256,
    read_preset,
    write_preset,
)
from models.types import FrameUnusable, PresetCorrupt


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor.load()


@pytest.fixture(scope="module")
def frames() -> list[np.ndarray]:
    stills = [make_phantom(kind, seed=5, height=150, width=210, spacing_mm=0.25).image
              for kind in ("cyst", "spiculated", "normal")]  # fmt: skip
    return [*stills, stills[0][:90, :60].copy(), np.stack([stills[1]] * 3, axis=-1)]


def test_each_prediction_has_the_size_of_its_frame(
    predictor: Predictor, frames: list[np.ndarray]
) -> None:
    predictions = predictor.predict(frames, batch_size=2)

    assert len(predictions) == len(frames)
    for frame, prediction in zip(frames, predictions, strict=True):
        assert prediction.mask.shape == prediction.heatmap.shape == frame.shape[:2]
        assert prediction.mask.dtype == np.bool_
        assert prediction.heatmap.dtype == np.float32
        assert 0 <= prediction.heatmap.min() <= prediction.heatmap.max() <= 1
        assert prediction.lesion_probability is not None
        assert prediction.lesion_probability.dtype == np.uint8
        assert (prediction.lesion_probability[prediction.mask] > 0).all()
        assert prediction.lesion_probability.shape == frame.shape[:2]
        assert sum(prediction.probabilities) == pytest.approx(1)
        assert prediction.label == CLASSES[int(np.argmax(prediction.probabilities))]
    cyst = predictions[0]
    assert cyst.mask.any()
    assert cyst.lesion_probability is not None
    assert len(np.unique(cyst.lesion_probability)) > 50


def test_predictions_are_reproducible_bit_by_bit(
    predictor: Predictor, frames: list[np.ndarray]
) -> None:
    first, again = (predictor.predict(frames, batch_size=2) for _ in range(2))

    for a, b in zip(first, again, strict=True):
        assert a.probabilities == b.probabilities
        assert (a.mask == b.mask).all()
        assert (a.heatmap == b.heatmap).all()


def test_predictions_depend_neither_on_batch_size_nor_on_other_frames(
    predictor: Predictor, frames: list[np.ndarray]
) -> None:
    together = predictor.predict(frames, batch_size=4)
    alone = [predictor.predict([frame], batch_size=2)[0] for frame in frames]

    for a, b in zip(together, alone, strict=True):
        assert a.probabilities == pytest.approx(b.probabilities, abs=1e-4)
        assert (a.mask != b.mask).mean() < 1e-3
        assert np.abs(a.heatmap - b.heatmap).max() < 1e-3


def test_other_frames_in_the_batch_do_not_change_a_bit(
    predictor: Predictor, frames: list[np.ndarray]
) -> None:
    together = predictor.predict(frames[:2], batch_size=2)
    (swapped,) = predictor.predict([frames[0], frames[2]], batch_size=2)[:1]

    assert together[0].probabilities == swapped.probabilities
    assert (together[0].mask == swapped.mask).all()
    assert (together[0].heatmap == swapped.heatmap).all()


def test_gray_and_rgb_frames_give_the_same_prediction(
    predictor: Predictor, frames: list[np.ndarray]
) -> None:
    gray, color = predictor.predict([frames[1], frames[4]], batch_size=2)

    assert gray.probabilities == pytest.approx(color.probabilities, abs=1e-5)


def test_threads_get_the_predictions_of_their_frames(
    predictor: Predictor, frames: list[np.ndarray]
) -> None:
    expected = [predictor.predict([frame], batch_size=2)[0].probabilities for frame in frames]

    with ThreadPoolExecutor(4) as pool:
        predictions = list(pool.map(lambda f: predictor.predict([f], batch_size=2)[0], frames * 2))

    assert [prediction.probabilities for prediction in predictions] == expected * 2


def test_no_frames_give_no_predictions(predictor: Predictor) -> None:
    assert predictor.predict([]) == []


def test_a_frame_of_one_pixel_is_predicted(predictor: Predictor) -> None:
    (prediction,) = predictor.predict([np.zeros((1, 1), np.uint8)], batch_size=2)

    assert prediction.mask.shape == (1, 1)


def test_a_frame_of_another_type_is_rejected(predictor: Predictor) -> None:
    with pytest.raises(FrameUnusable, match="uint8"):
        predictor.predict([np.zeros((8, 8), np.float32)])


def test_the_predictor_names_its_preset(predictor: Predictor) -> None:
    shipped = read_preset(DEFAULT_PRESET)
    assert predictor.info == shipped.info
    assert (predictor.info.name, predictor.info.version) == (shipped.name, shipped.version)
    assert predictor.info.classifier_digest == predictor.info.segmenter_digest


def test_changed_weights_are_detected_before_loading(tmp_path: Path) -> None:
    home = _preset(tmp_path, b"weights")
    (tmp_path / "n.h5").write_bytes(b"other weights")

    with pytest.raises(PresetCorrupt, match=r"n\.h5: expected SHA-256"):
        Predictor.load(home)


def test_an_invalid_weight_file_is_a_corrupt_preset(tmp_path: Path) -> None:
    with pytest.raises(PresetCorrupt, match=r"n\.h5: does not contain weights of this network"):
        Predictor.load(_preset(tmp_path, b"not even HDF5"))


@pytest.mark.filterwarnings(
    # Keras 3.15 reads TensorFlow variables in a way that NumPy 2 warns about.
    "ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"
)
def test_weights_of_another_network_are_a_corrupt_preset(tmp_path: Path) -> None:
    from models.networks.backbone import build_backbone

    build_backbone(64).save_weights(tmp_path / "other.weights.h5")
    file = tmp_path / "other.weights.h5"
    write_preset(tmp_path, Preset("test", "1", NetworkFile(file.name, file_sha256(file), 64)))

    with pytest.raises(PresetCorrupt, match="does not contain weights of this network"):
        Predictor.load(tmp_path)


def test_a_patch_needs_a_pixel_above_the_seed_threshold(tmp_path: Path) -> None:
    preset = replace(
        read_preset(_preset(tmp_path, b"")), mask_threshold=0.4, mask_seed_threshold=0.8
    )
    probability = np.full((8, 20), 0.1, np.float32)
    probability[2:5, 2:6] = 0.6
    probability[2:6, 12:16] = 0.5
    probability[3, 13] = 0.9

    mask, remaining = segment_lesions(probability, preset)

    assert mask[2:6, 12:16].all()
    assert mask.sum() == 16
    assert not remaining[:, :9].any()
    assert (remaining[3, 13], remaining[5, 15], remaining[0, 13]) == (230, 128, 26)


def test_probabilities_are_unchanged_if_all_patches_have_a_seed(tmp_path: Path) -> None:
    preset = read_preset(_preset(tmp_path, b""))
    faint = np.full((8, 20), 0.2, np.float32)
    detected = faint.copy()
    detected[2:5, 2:6] = 0.9

    assert (segment_lesions(faint, preset)[1] == 51).all()
    assert sorted(np.unique(segment_lesions(detected, preset)[1])) == [51, 230]


def test_probabilities_are_calibrated_by_temperature_and_class_bias() -> None:
    def network(_: object) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        logits = np.array([[0.0, 2.0, 4.0]], np.float32)
        return logits, np.zeros((1, 2, 2), np.float32), np.zeros((1, 64, 64), np.float32)

    preset = Preset(
        "test", "1", NetworkFile("", "", 64), temperature=2.0, class_bias=(1.0, 0.0, -1.0)
    )

    (one,) = Predictor(preset, lambda _: network).predict(
        [np.zeros((64, 64), np.uint8)], batch_size=1
    )

    assert one.probabilities == pytest.approx((1 / 3, 1 / 3, 1 / 3))


def _preset(directory: Path, weights: bytes) -> Path:
    file = directory / "n.h5"
    file.write_bytes(weights)
    write_preset(directory, Preset("test", "1", NetworkFile(file.name, file_sha256(file), 64)))
    return directory
