import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from models.data.dataset import Sample, SampleArrays
from models.data.digests import TRAINING_IMAGES, find_training_groups
from models.data.inputs import load_inputs
from models.evaluation.metrics import Overlap
from models.predictor import Predictor
from models.preset import read_preset
from models.recipe import Recipe
from models.training import cross_validation
from models.training.cross_validation import (
    CrossValidation,
    TrainingRun,
    collect_results,
    cross_validate,
    describe_preset,
    train_preset,
)
from models.training.held_out import (
    HELD_OUT_FILE,
    HeldOutResult,
    compute_metrics,
    flatten_metrics,
    image_name,
    read_held_out,
)
from models.training.initial_weights import InitialWeights
from models.training.loss_history import LOSSES_FILE
from models.training.model_card import render_card, write_card
from models.training.run_directory import RunDirectoryOccupied
from models.training.train import BatchProgress, EpochProgress, TrainedNetwork
from models.types import DatasetError

Small = Callable[..., Recipe]
SURE = (0.98, 0.01, 0.01)
NOTHING = Overlap(0, 0, 0)

pytestmark = [
    pytest.mark.usefixtures("eager_execution"),
    pytest.mark.filterwarnings(
        # Keras 3.15 reads TensorFlow variables in a way that NumPy 2 warns about.
        "ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"
    ),
]


def held_out_result(label: int, probabilities: tuple[float, ...] = SURE) -> HeldOutResult:
    return HeldOutResult("x.png", 0, label, probabilities, NOTHING)


def test_a_dataset_becomes_a_preset_with_metrics_and_a_model_card(
    samples: list[Sample], small: Small, tmp_path: Path
) -> None:
    recipe = small("joint", inference__mask_threshold=0.4, inference__class_bias=True)
    run = TrainingRun(recipe, InitialWeights(), samples, tmp_path / "out")

    validation = cross_validate(run, [1])
    description = describe_preset(
        recipe, validation, samples, initial_weights=run.initial_weights, name="small", version="1"
    )
    preset = train_preset(run, description)
    write_card(tmp_path, preset, data="Phantoms.")

    home = tmp_path / "out" / "preset"
    assert Predictor.load(home).info == preset.info
    assert read_preset(home) == preset
    assert preset.mask_threshold == 0.4
    assert preset.class_bias != (0.0, 0.0, 0.0)
    assert train_preset(run, replace(description, version="2")) == replace(preset, version="2")
    assert read_preset(home).version == "2", "the description is new, the network is not"
    assert preset.trained["images"] == 12
    assert preset.trained["held_out_pooled"]["classification"]["images"] == 6
    assert preset.trained["initial_weights"] == "Random initialization."
    assert len(preset.trained[TRAINING_IMAGES].split()) == 12
    fold = read_preset(tmp_path / "out" / "folds" / "fold-1").trained
    assert find_training_groups(fold, samples) == {
        x.duplicate_group for x in samples if x.fold == 0
    }
    card = (tmp_path / "CARD.md").read_text(encoding="utf-8")
    assert preset.network.sha256 in card
    assert card == render_card(preset, data="Phantoms.")


def test_a_finished_fold_is_not_trained_again(
    samples: list[Sample], small: Small, tmp_path: Path
) -> None:
    done: list[BatchProgress | EpochProgress] = []
    run = TrainingRun(
        small("segmenter"),
        InitialWeights(),
        samples,
        tmp_path,
        lambda title, step: done.append(step),
    )

    validation = cross_validate(run)
    steps = len(done)
    again = cross_validate(run)

    assert again == validation
    assert steps == len(done) == 4, "two folds of one batch and one epoch"
    other = replace(run, recipe=small("segmenter", training__seed=1))
    with pytest.raises(RunDirectoryOccupied, match="different recipe"):
        cross_validate(other, [0])
    assert cross_validate(run) == validation, "nothing was lost"
    cross_validate(replace(other, overwrite=True), [0])
    assert len(done) == 6, "another recipe is another run"
    assert [x.name for x in (tmp_path / "folds").iterdir()] == ["fold-0"]


def test_only_a_fold_with_damaged_results_is_trained_again(
    samples: list[Sample], small: Small, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    titles: list[str] = []
    run = TrainingRun(
        small("segmenter"),
        InitialWeights(),
        samples,
        tmp_path,
        lambda title, step: titles.append(title),
    )
    cross_validate(run)
    (tmp_path / "folds" / "fold-1" / HELD_OUT_FILE).write_text('{"identity": "')
    titles.clear()

    validation = cross_validate(run)

    assert set(titles) == {"fold 1"}
    assert len(validation.folds[1]) == 6
    assert "fold-1/held-out.json cannot be read" in caplog.text
    assert "training this fold again" in caplog.text


PERTURBATIONS: dict[str, Callable[[Sample], Sample]] = {
    "label": lambda x: replace(x, label=2),
    "group": lambda x: replace(x, duplicate_group=99),
    "fold": lambda x: replace(x, fold=1 - x.fold),
    "masks": lambda x: replace(x, masks=()),
    "name": lambda x: replace(x, image=x.image.rename(x.image.with_name("renamed.png"))),
    "image": lambda x: (x.image.write_bytes(b"another"), x)[1],
    "mask": lambda x: (x.masks[0].write_bytes(b"another"), x)[1],
}


@pytest.mark.parametrize("change", PERTURBATIONS)
def test_a_change_of_a_held_out_image_identifies_another_run(
    samples: list[Sample], small: Small, tmp_path: Path, change: str
) -> None:
    run = TrainingRun(small("segmenter"), InitialWeights(), samples, tmp_path)
    before, digests = [run.identity(0), run.identity(1)], run.digests
    place = next(n for n, x in enumerate(samples) if x.fold == 0 and x.label == 1)
    changed = [*samples[:place], PERTURBATIONS[change](samples[place]), *samples[place + 1 :]]

    other = replace(run, samples=changed)

    assert other.digests != digests
    assert not {other.identity(0), other.identity(1)} & set(before)
    assert replace(run, samples=changed[::-1]).digests == other.digests, (
        "the order of images does not matter"
    )


def test_a_fold_does_not_depend_on_the_split_of_the_others(
    samples: list[Sample], small: Small, tmp_path: Path
) -> None:
    run = TrainingRun(small("segmenter"), InitialWeights(), samples, tmp_path)

    other = replace(run, samples=[replace(x, fold=2) if x.fold else x for x in samples])

    assert other.identity(0) == run.identity(0)
    assert other.identity() == run.identity()
    assert other.digests != run.digests


def test_initial_weights_are_identified_by_content(
    samples: list[Sample], small: Small, tmp_path: Path
) -> None:
    def identity(text: bytes, name: str) -> str:
        (tmp_path / name).write_bytes(text)
        start = InitialWeights(tmp_path / name, f"The file `{name}`.")
        return TrainingRun(small("joint"), start, samples, tmp_path).identity()

    assert identity(b"1", "a.h5") != identity(b"2", "a.h5")
    assert identity(b"1", "a.h5") == identity(b"1", "b.h5")


@pytest.mark.parametrize("kind", ["classifier", "segmenter"])
def test_a_fold_saves_its_network_and_results(
    samples: list[Sample], small: Small, tmp_path: Path, kind: str
) -> None:
    run = TrainingRun(small(kind), InitialWeights(), samples, tmp_path)

    validation = cross_validate(run, [0])

    home = tmp_path / "folds" / "fold-0"
    assert {x.name for x in home.iterdir()} == {
        HELD_OUT_FILE,
        LOSSES_FILE,
        "network.weights.h5",
        "recipe.json",
    }
    assert len(json.loads((home / LOSSES_FILE).read_text())) == 1
    results, _ = read_held_out(home / HELD_OUT_FILE)
    assert results == list(validation.folds[0])
    assert {x.image for x in results} == {image_name(x) for x in samples if x.fold == 0}
    assert all(bool(x.probabilities) == (kind == "classifier") for x in results)
    assert all((x.overlap is not None) == (kind == "segmenter") for x in results)
    measured = collect_results(run.recipe, validation, samples, initial_weights=run.initial_weights)
    assert ("calibration" in measured) == (kind == "classifier")
    assert json.loads(json.dumps(measured)) == measured
    assert list((tmp_path / "logs" / "fold-0" / "held-out").iterdir())


def test_held_out_images_are_used_for_neither_training_nor_validation(
    samples: list[Sample], small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[SampleArrays] = []

    class Stop(Exception):
        """Stops before training."""

    def spy(
        data: SampleArrays, *_: object, validation_data: SampleArrays, **__: object
    ) -> TrainedNetwork:
        given.extend([data, validation_data])
        raise Stop

    monkeypatch.setattr(cross_validation, "train", spy)
    run = TrainingRun(small("segmenter", training__patience=2), InitialWeights(), samples, tmp_path)

    with pytest.raises(Stop):
        cross_validate(run, [1])

    held_out = load_inputs([x for x in samples if x.fold == 1], run.recipe.input)
    shown = {image.tobytes() for arrays in given for image in arrays.pixels}
    assert len(shown) == 6
    assert len(given[1]) > 0
    assert not shown & {image.tobytes() for image in held_out.pixels}


def test_a_fold_is_calibrated_by_the_others_only() -> None:
    right, wrong = [held_out_result(0)] * 10, [held_out_result(1)] * 10

    reports = CrossValidation({0: right, 1: right + wrong}).metrics_by_fold()

    # Fold 1 is wrong half of the time, so its calibration lowers the confidence of fold 0.
    assert reports[0]["classification"]["ece"] > 0.3
    assert reports[1]["classification"]["ece"] == pytest.approx(0.5, abs=0.01)


def test_a_single_fold_is_not_calibrated() -> None:
    (report,) = (
        CrossValidation({3: [held_out_result(0, (0.7, 0.2, 0.1))]}).metrics_by_fold().values()
    )

    assert report["classification"]["ece"] == pytest.approx(0.3)


def test_metrics_have_unique_names() -> None:
    named = flatten_metrics(compute_metrics([held_out_result(0), held_out_result(2)]))

    assert named["accuracy"] == 0.5
    assert named["malignant_recall"] == 0.0
    assert named["normal_without_mask"] == 1.0
    assert "dice" not in named, "no image has a lesion"


def test_two_classes_are_supported() -> None:
    rows = [
        held_out_result(0, (0.9, 0.1)),
        held_out_result(1, (0.4, 0.6)),
        held_out_result(1, (0.7, 0.3)),
    ]

    validation = CrossValidation({0: rows, 1: rows}, ("benign", "malignant"))

    assert len(validation.calibration.class_bias) == 2
    assert validation.metrics_by_fold()[0].keys() == validation.pooled_metrics().keys()
    assert flatten_metrics(compute_metrics(rows, validation.classes))["malignant_recall"] == 0.5
    assert len(validation.pooled_metrics()["classification"]["confusion"]) == 2


@pytest.mark.parametrize(
    ("folds", "sentence"),
    [
        ([0, 1, 2], "trained in the same way on all folds"),
        ([0, 2], "It was not trained on the images"),
    ],
)
def test_the_card_says_whether_the_network_was_trained_on_the_scored_images(
    small: Small, folds: list[int], sentence: str
) -> None:
    samples = [Sample(Path("x.png"), 0, (), fold, fold) for fold in folds]
    validation = CrossValidation({1: [held_out_result(0, (0.7, 0.2, 0.1))]})

    description = describe_preset(
        small("joint"),
        validation,
        samples,
        initial_weights=InitialWeights(),
        name="small",
        version="1",
    )

    card = render_card(description, data="Phantoms.")
    assert sentence in card
    assert "each frame is predicted once" in card


def test_the_card_describes_the_confidence_threshold(small: Small) -> None:
    samples = [Sample(Path("x.png"), 0, (), fold, fold) for fold in (0, 1)]
    rows = [held_out_result(0, (0.9, 0.05, 0.05))] * 9 + [held_out_result(1, (0.6, 0.2, 0.2))]

    description = describe_preset(
        small("joint"),
        CrossValidation({0: rows}),
        samples,
        initial_weights=InitialWeights(),
        name="x",
        version="1",
    )

    assert description.confidence_threshold == 0.9
    card = render_card(description, data="Phantoms.")
    assert "90.0% of the held-out images are at or above it, with an accuracy of 100.0%" in card


@pytest.mark.parametrize("kind", ["joint", "segmenter"])
def test_a_lesion_without_a_mask_cannot_be_trained_on(
    samples: list[Sample], small: Small, tmp_path: Path, kind: str
) -> None:
    bare = [replace(x, masks=(), annotated=x.label == 0) for x in samples]

    with pytest.raises(DatasetError, match=r"not of class normal: .* and 5 more; add a"):
        cross_validate(TrainingRun(small(kind), InitialWeights(), bare, tmp_path / "out"))

    assert not (tmp_path / "out").exists()


def test_means_over_folds_leave_out_undefined_metrics(samples: list[Sample], small: Small) -> None:
    benign, malignant = (0.01, 0.98, 0.01), (0.01, 0.01, 0.98)
    folds = {
        0: [held_out_result(0), held_out_result(1, benign)],
        1: [
            held_out_result(0),
            held_out_result(1, benign),
            held_out_result(2, malignant),
            held_out_result(2, benign),
        ],
    }

    results = collect_results(
        small("joint"), CrossValidation(folds), samples, initial_weights=InitialWeights()
    )

    absent = results["held_out"]["0"]["classification"]["by_class"]["malignant"]
    assert (absent["support"], absent["recall"], absent["precision"]) == (0, None, None)
    assert results["held_out_spread"]["malignant_recall"] == {"mean": 0.5, "sd": None}
    assert results["held_out_spread"]["benign_recall"]["mean"] == 1
