"""`sonogate tune`."""

from collections.abc import Callable
from pathlib import Path

from click.testing import Result

from models.recipe import read_recipe
from tests.sonogate.commands.conftest import KINDS, SEGMENTER, add_phantom, keras_warns
from tests.sonogate.conftest import Run


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
