from pathlib import Path

import pytest

from models.recipe import read_recipe, recipe_names
from models.training.recipe_file import write_recipe


@pytest.mark.parametrize("name", recipe_names())
def test_a_written_recipe_is_read_back_unchanged(name: str, tmp_path: Path) -> None:
    recipe = read_recipe(name)

    write_recipe(tmp_path / f"{name}.toml", recipe)

    assert read_recipe(str(tmp_path / f"{name}.toml")) == recipe
