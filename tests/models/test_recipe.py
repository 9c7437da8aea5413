"""Recipes as files: all of ours are sound, and a wrong one is told what is wrong."""

from pathlib import Path

import pytest

from models.recipe import RecipeInvalid, read_recipe, recipe_names

SOUND = """
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


def test_the_works_that_we_compare_with_all_have_their_recipe() -> None:
    published = [read_recipe(name).published for name in recipe_names()]

    assert len({each.work for each in published if each}) == 4
    assert published.count(None) == 1, "ours alone"


@pytest.mark.parametrize("name", recipe_names())
def test_each_recipe_says_what_a_publication_left_open(name: str) -> None:
    recipe = read_recipe(name)

    assert recipe.name == name
    assert recipe.tune
    assert recipe.published is None or (recipe.published.assumed and recipe.published.split)


def test_a_recipe_of_your_own_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(SOUND)

    assert read_recipe(str(tmp_path / "mine.toml")).name == "mine"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("not toml", "cannot be read"),
        (SOUND.replace("epochs = 1", "epochs = 0"), r"training\.epochs"),
        (SOUND.replace("epochs", "epoch"), r"training\.epoch"),
        (SOUND.replace('encoder = "MobileNetV2"', ""), "a classifier needs an encoder"),
        (SOUND.replace('"classifier"', '"segmenter"'), "needs a decoder and two widths"),
        (SOUND.replace("size_px = 64", 'size_px = 64\nfit = "crop"'), r"input\.fit"),
        (SOUND + '[tune]\n"training.speed" = [1]', r"no 'training\.speed' to change"),
        (SOUND + '[tune]\n"training.epochs" = [0]', "greater than or equal to 1"),
        (SOUND + 'name = "x"', "name"),
    ],
)
def test_a_wrong_recipe_is_told_which_key(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "mine.toml").write_text(text)

    with pytest.raises(RecipeInvalid, match=message):
        read_recipe(str(tmp_path / "mine.toml"))


def test_an_unknown_name_is_told_the_known_ones() -> None:
    with pytest.raises(RecipeInvalid, match="there are breakhis-attention-resnet50, default"):
        read_recipe("no-such")


def test_a_value_can_be_changed_by_its_dotted_key() -> None:
    recipe = read_recipe("default")

    changed = recipe.with_value("training.epochs", 3)

    assert changed.training.epochs == 3
    assert changed.with_value("training.epochs", recipe.training.epochs) == recipe
