"""`sonogate train`, `tune` and `evaluate`: figures, and what can be wrong with a data set."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from PIL import Image

from models.data.dataset import read_samples
from models.data.digests import TRAINING_IMAGES, file_digest, list_training_images
from models.phantom import make_phantom
from models.preset import DEFAULT_PRESET, read_preset, write_preset
from models.recipe import read_recipe
from models.training.loss_history import read_losses, write_losses
from sonogate.training.options import TrainingExtraMissing, require_training_extra
from tests.sonogate.conftest import Run, sonogate

KINDS = ("normal", "normal"), ("cyst", "benign"), ("spiculated", "malignant")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two small phantoms of each class, laid out as for training."""
    folder = tmp_path / "data"
    for kind, name in KINDS:
        (folder / name).mkdir(parents=True)
        for seed in range(2):
            add_phantom(folder / name, kind, seed)
    return folder


def add_phantom(folder: Path, kind: str, seed: int) -> None:
    phantom = make_phantom(kind, seed=seed, height=96, width=128, spacing_mm=0.35)
    Image.fromarray(phantom.image).save(folder / f"{seed}.png")
    Image.fromarray(phantom.mask).save(folder / f"{seed}_mask.png")


@pytest.fixture
def taught(data: Path, tmp_path: Path) -> Path:
    """A preset that says it was trained on fold 0 of the data."""
    home = tmp_path / "taught"
    shutil.copytree(DEFAULT_PRESET, home)
    seen = list_training_images(file_digest(x.image) for x in read_samples(data) if x.fold == 0)
    preset = read_preset(home)
    write_preset(home, replace(preset, trained={**preset.trained, TRAINING_IMAGES: seen}))
    return home


@pytest.fixture
def silent(taught: Path) -> Path:
    """A preset of a version that kept no account of what it was trained on."""
    preset = read_preset(taught)
    told = {key: x for key, x in preset.trained.items() if key != TRAINING_IMAGES}
    write_preset(taught, replace(preset, trained=told))
    return taught


def test_evaluate_prints_the_figures_of_what_was_not_trained_on_as_json(
    data: Path, taught: Path, environment: dict[str, str]
) -> None:
    done = subprocess.run(
        sonogate("evaluate", data, "--preset", taught, "--unseen"),
        env=environment,
        capture_output=True,
        text=True,
        timeout=180,
        check=True,
    )
    figures = json.loads(done.stdout)
    assert figures["classification"]["images"] == 3
    assert figures["segmentation"]["images_with_lesion"] == 2
    assert len(figures["preset"]["classifier_digest"]) == 64
    assert figures["images_trained_on"] == 0
    assert "3 images: the preset was trained on none of them." in done.stderr


def test_a_fold_that_was_trained_on_is_not_scored_as_one_held_out(
    run: Run, home: Path, data: Path, taught: Path
) -> None:
    result = run("evaluate", data, "--preset", taught, "--fold", 0)

    assert result.exit_code == 1
    assert "trained on 3 of 3 images of fold 0" in result.stderr
    assert "Use --unseen to exclude" in result.stderr


def test_evaluate_tells_how_many_images_were_trained_on(
    run: Run, home: Path, data: Path, taught: Path
) -> None:
    result = run("evaluate", data, "--preset", taught)

    assert "6 images: the preset was trained on 3 of them" in result.stderr
    assert json.loads(result.stdout)["images_trained_on"] == 3


def test_a_preset_that_kept_no_account_cannot_leave_out_what_it_saw(
    run: Run, home: Path, data: Path, silent: Path
) -> None:
    result = run("evaluate", data, "--preset", silent, "--unseen")

    assert result.exit_code == 1
    assert "does not record its training images" in result.stderr


@pytest.mark.parametrize(
    ("leaks", "sentence"),
    [
        (True, "'out@0' was trained with --protocol random"),
        (None, "'out@0' is not a finished training"),
    ],
)
def test_what_was_not_split_by_groups_is_not_combined(
    run: Run, home: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    leaks: bool | None, sentence: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    recipe = read_recipe("default").model_dump(mode="json")
    told: dict[str, Any] = {"recipe": recipe, "initial_weights": "Random initialization."}
    if leaks is not None:
        told["leaks"] = leaks
    (tmp_path / "out" / "summary.json").write_text(json.dumps(told))

    result = run("combine", "out@0", "--data", data, "--out", tmp_path / "pair")

    assert result.exit_code == 1
    assert sentence in result.stderr
    assert not (tmp_path / "pair").exists()


@pytest.mark.parametrize("command", [["train", "default", "--data"], ["evaluate"]])
def test_a_folder_that_is_no_data_set_is_named(
    run: Run, home: Path, tmp_path: Path, command: list[str]
) -> None:
    result = run(*command, tmp_path)
    assert result.exit_code == 1
    assert (
        f"no images in folders named normal, benign, malignant in {tmp_path.name}" in result.stderr
    )


def test_starting_weights_that_are_not_there_are_wrong_usage(
    run: Run, home: Path, data: Path, tmp_path: Path
) -> None:
    result = run("train", "default", "--data", data, "--backbone", tmp_path / "none.h5")
    assert result.exit_code == 2
    assert "is not a file" in result.stderr


def test_what_training_needs_and_services_do_not_is_asked_for_at_once() -> None:
    with pytest.raises(
        TrainingExtraMissing, match=r"no_such_thing not installed.*sonogate\[train\]"
    ):
        require_training_extra(("json", "no_such_thing"))


def test_a_recipe_that_is_not_there_is_told_which_are(run: Run, home: Path, data: Path) -> None:
    result = run("train", "no-such", "--data", data)
    assert result.exit_code == 1
    assert "choose one of breakhis-attention-resnet50, default" in result.stderr


def test_a_fold_that_is_not_there_is_named_before_anything_is_trained(
    run: Run, home: Path, data: Path
) -> None:
    result = run("train", "default", "--data", data, "--folds", 2, "--fold", 7)
    assert result.exit_code == 1
    assert "fold 7 of data has no images" in result.stderr


def test_a_fold_without_images_is_an_error(run: Run, home: Path, data: Path) -> None:
    result = run("evaluate", data, "--fold", 9)
    assert result.exit_code == 1
    assert "fold 9 of data has no images" in result.stderr


CLASSIFIER = """
[network]
kind = "classifier"
encoder = "MobileNetV2"
head = [{ layer = "GlobalAveragePooling2D" }]
"""
SEGMENTER = """
[network]
kind = "segmenter"
decoder = "unet"
widths = [4, 8]
"""
JOINT = """
[network]
kind = "joint"
encoder = "MobileNetV2"
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Callable[[str], Path]:
    """Write a recipe for 64 pixels and one epoch round a network."""

    def write(network: str) -> Path:
        file = tmp_path / "mine.toml"
        loss = "cross-entropy" if network == CLASSIFIER else "overlap"
        file.write_text(
            f'''summary = "For a test."
            [input]
            size_px = 64
            {network}
            [training]
            epochs = 1
            batch_size = 4
            learning_rate = 1e-3
            loss = "{loss}"
            [published]
            work = "A work"
            data = "Theirs"
            split = "random"
            metrics = {{ accuracy = 0.99, dice = 0.98 }}
            [tune]
            "training.learning_rate" = [1e-4, 1e-3]
            "training.seed" = [0, 1]
            '''
        )
        return file

    return write


keras_warns = pytest.mark.filterwarnings(
    # Keras 3.15 reads TensorFlow variables in a way that NumPy 2 warns about.
    "ignore:__array__ implementation doesn't accept a copy:DeprecationWarning",
    # Keras Tuner 1.4 asks for its thread in the old way.
    r"ignore::DeprecationWarning:keras_tuner\..*",
)


@pytest.fixture
def train(
    run: Run, home: Path, data: Path, tmp_path: Path, recipe: Callable[[str], Path]
) -> Iterator[Callable[..., Result]]:
    """`sonogate train` of a network on two folds, from a random start, step by step."""
    import tensorflow as tf

    def invoke(network: str, *more: object) -> Result:
        return run(
            "train", recipe(network), "--data", data, "--out", tmp_path / "out",
            "--folds", 2, "--backbone", "random", *more,
        )  # fmt: skip

    tf.config.run_functions_eagerly(True)
    yield invoke
    tf.config.run_functions_eagerly(False)


def summary(folder: Path) -> dict[str, Any]:
    figures: dict[str, Any] = json.loads((folder / "out" / "summary.json").read_text())
    return figures


@keras_warns
@pytest.mark.parametrize(("network", "figure"), [(CLASSIFIER, "accuracy"), (SEGMENTER, "dice")])
def test_a_recipe_is_trained_and_set_beside_what_was_published(
    train: Callable[..., Result], tmp_path: Path, network: str, figure: str
) -> None:
    result = train(network, "--fold", 1)
    assert result.exit_code == 0, result.output
    found = summary(tmp_path)
    assert found["held_out_folds"] == [1]
    assert found["initial_weights"] == "Random initialization."
    assert found["leaks"] is False
    mean = found["held_out_spread"][figure]["mean"]
    published = found["published"]["metrics"][figure]
    assert [figure, f"{published:.3f}", f"{mean:.3f}"] in [
        line.split() for line in result.stdout.splitlines()
    ]
    assert not (tmp_path / "out" / "preset").exists()
    page = (tmp_path / "out" / "report.html").read_text()
    assert f"<td>{published:.3f}</td>" in page
    assert ("<h2>Segmentation" in page) == (figure == "dice")


@keras_warns
def test_a_recipe_for_both_questions_gives_a_preset_that_can_be_averaged(
    run: Run, train: Callable[..., Result], data: Path, tmp_path: Path
) -> None:
    result = train(JOINT, "--name", "mine", "--preset-version", "3")
    assert result.exit_code == 0, result.output
    preset = read_preset(tmp_path / "out" / "preset")
    assert (preset.name, preset.version) == ("mine", "3")
    assert "The directory `data`" in (tmp_path / "out" / "preset" / "CARD.md").read_text()
    assert f"SONOGATE_PRESET_DIR={tmp_path / 'out' / 'preset'}" in result.stdout
    out = tmp_path / "combined"
    both = run(
        "combine", tmp_path / "out", tmp_path / "out", "--data", data, "--out", out, "--folds", 2
    )
    assert both.exit_code == 0, both.output
    assert f"its figures to {out / 'report.html'}" in both.stdout
    assert "network 2</text>" in (out / "report.html").read_text()
    assert len(read_losses(out / "preset")) == 2


@keras_warns
def test_a_random_split_says_that_it_leaks_and_makes_no_preset(
    train: Callable[..., Result], tmp_path: Path
) -> None:
    result = train(SEGMENTER, "--protocol", "random")
    assert result.exit_code == 0, result.output
    assert "Data leakage: with protocol random" in result.stdout
    assert "Data leakage: with protocol random" in result.stderr
    assert "Data leakage: with protocol random" in (tmp_path / "out" / "report.html").read_text()
    assert summary(tmp_path)["leaks"] is True
    before = summary(tmp_path)

    refused = train(SEGMENTER, "--fold", 1)

    assert refused.exit_code == 1
    assert (
        "out contains another training run (different folds): choose another --out"
        in refused.stderr
    )
    assert summary(tmp_path) == before
    done = train(SEGMENTER, "--fold", 1, "--overwrite")
    assert done.exit_code == 0, done.output
    assert [x.name for x in (tmp_path / "out" / "folds").iterdir()] == ["fold-1"]
    assert summary(tmp_path)["leaks"] is False


@keras_warns
def test_tuning_writes_a_recipe_that_can_be_trained(
    run: Run, home: Path, data: Path, tmp_path: Path, recipe: Callable[[str], Path],
    train: Callable[..., Result],
) -> None:  # fmt: skip
    for kind, name in KINDS:
        add_phantom(data / name, kind, seed=2)
    result = run(
        "tune", recipe(SEGMENTER), "--data", data, "--out", tmp_path / "trials", "--folds", 3,
        "--trials", 2, "--epochs", 1, "--backbone", "random",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "training.learning_rate = " in result.stdout
    tuned = read_recipe(str(tmp_path / "trials" / "mine-tuned.toml"))
    assert f"training.learning_rate = {tuned.training.learning_rate}" in result.stdout
    assert tuned.tune == read_recipe(str(tmp_path / "mine.toml")).tune


def test_a_report_lies_where_it_was_asked_for(
    run: Run, home: Path, data: Path, silent: Path
) -> None:
    out = home / "report"
    write_losses(silent, [[2.0, 1.0], [3.0, 2.5]])
    result = run("evaluate", data, "--preset", silent, "--fold", 0, "--out", out, "--quick")
    assert result.exit_code == 0, result.output
    assert f"Wrote {out / 'report.html'}" in result.stdout
    figures = json.loads((out / "report.json").read_text())
    assert figures["data"].startswith("data, fold 0 (the preset does not record which of them")
    assert figures["images_trained_on"] is None
    assert (
        "the preset does not record which of them it was trained on"
        in (out / "report.html").read_text()
    )
    assert "robustness" not in figures
    assert "network 2</text>" in (out / "report.html").read_text(), "a curve for each network"


def test_a_quick_report_needs_a_place_to_go(run: Run, home: Path, data: Path) -> None:
    result = run("evaluate", data, "--quick")

    assert result.exit_code == 2
    assert "--quick requires --out" in result.stderr
