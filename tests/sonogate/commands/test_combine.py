"""`sonogate combine`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from models.preset import read_preset
from models.recipe import read_recipe
from models.training.loss_history import read_losses
from tests.sonogate.commands.conftest import (
    JOINT,
    keras_warns,
)
from tests.sonogate.conftest import Run


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
