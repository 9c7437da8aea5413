"""Recipes as files: the shipped ones are valid, and errors name the key."""

from pathlib import Path

import pytest

from models.recipe import RecipeInvalid, read_recipe, recipe_names

VALID = """
summary = "a test's"
[input]
size_px = 64
[network]
kind = "classifier"
encoder = "MobileNetV2"
[training]
epochs = 1
batch_size = 4
learning_rate = 1e-3
"""


def test_each_publication_has_a_recipe() -> None:
    published = [read_recipe(name).published for name in recipe_names()]

    assert len({each.work for each in published if each}) == 4
    assert published.count(None) == 1, "only the recipe default is not from a publication"


@pytest.mark.parametrize("name", recipe_names())
def test_each_recipe_lists_assumed_settings_and_values_to_tune(name: str) -> None:
    recipe = read_recipe(name)

    assert recipe.name == name
    assert recipe.tune
    assert recipe.published is None or (recipe.published.assumed and recipe.published.split)


def test_a_recipe_can_be_read_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(VALID)

    assert read_recipe(str(tmp_path / "mine.toml")).name == "mine"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("not toml", "cannot be read"),
        (VALID.replace("epochs = 1", "epochs = 0"), r"training\.epochs"),
        (VALID.replace("epochs", "epoch"), r"training\.epoch"),
        (VALID.replace('encoder = "MobileNetV2"', ""), "a classifier needs an encoder"),
        (VALID.replace('"classifier"', '"segmenter"'), "needs a decoder and at least two widths"),
        (VALID.replace("size_px = 64", 'size_px = 64\nfit = "crop"'), r"input\.fit"),
        (VALID + '[tune]\n"training.speed" = [1]', r"has no key 'training\.speed'"),
        (VALID + '[tune]\n"training.epochs" = [0]', "greater than or equal to 1"),
        (VALID + 'name = "x"', "name"),
    ],
)
def test_the_error_for_an_invalid_recipe_names_the_key(
    tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "mine.toml").write_text(text)

    with pytest.raises(RecipeInvalid, match=message):
        read_recipe(str(tmp_path / "mine.toml"))


def test_the_error_for_an_unknown_name_lists_the_recipes() -> None:
    with pytest.raises(RecipeInvalid, match="choose one of breakhis-attention-resnet50, default"):
        read_recipe("no-such")


def test_a_value_can_be_changed_by_its_dotted_key() -> None:
    recipe = read_recipe("default")

    changed = recipe.with_value("training.epochs", 3)

    assert changed.training.epochs == 3
    assert changed.with_value("training.epochs", recipe.training.epochs) == recipe
