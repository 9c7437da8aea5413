"""`sonogate train`: a preset of your own."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from models.training.dataset import read_samples
from sonogate import logs
from sonogate.quiet import without_chatter
from sonogate.settings import FrontDoorSettings

if TYPE_CHECKING:
    from models.networks.backbone import BaseWeights
    from models.training.recipe import Recipe

STARTS = {"imagenet": "ImageNet, as Keras downloads them.", "random": "Random numbers."}
FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)


@click.command()
@click.argument("data", type=FOLDER)
@click.option("--out", required=True, type=click.Path(path_type=Path, file_okay=False))
@click.option("--name", default="own", show_default=True, help="Name of the preset.")
@click.option("--preset-version", default="1", show_default=True, help="Version of the preset.")
@click.option(
    "--backbone",
    default="imagenet",
    show_default=True,
    help="Starting weights: imagenet (downloaded), random, or a weights file.",
)
@click.option("--fold", "folds", multiple=True, type=int, help="Hold out this fold only.")
@click.option("--epochs", type=click.IntRange(min=1), help="Fewer epochs than the recipe's.")
@click.option("--seed", default=0, show_default=True)
def command(
    data: Path,
    out: Path,
    name: str,
    preset_version: str,
    backbone: str,
    folds: tuple[int, ...],
    epochs: int | None,
    seed: int,
) -> None:
    """Train the network on DATA and write a preset, with its model card, into OUT.

    DATA holds the folders normal, benign and malignant: PNGs with masks beside them as
    "NAME_mask.png", and a manifest.csv that says which images belong together. Each fold is held
    out once and scored; then the network is trained on everything. Fold networks are kept in
    OUT.folds, so that a run which was interrupted goes on. Hours on a CPU.
    """
    logs.configure(FrontDoorSettings.load())
    start, samples = _weights(backbone), read_samples(data)
    with without_chatter():
        from models.training.card import write_card
        from models.training.recipe import cross_validate, default_recipe, make_preset
    recipe = _shortened(default_recipe(start, seed=seed), epochs)
    held_out = out.with_name(f"{out.name}.folds")
    checked = cross_validate(samples, recipe, held_out, folds=folds or None)
    preset = make_preset(samples, recipe, out, name=name, version=preset_version, checked=checked)
    write_card(
        out,
        preset,
        data=f"The folder `{data.name}`; whoever trained knows its origin and licence.",
        start=STARTS.get(backbone, f"The file `{Path(backbone).name}`."),
    )
    click.echo(f"The preset is in {out}; SONOGATE_PRESET_DIR={out.absolute()} puts it to work.")


def _weights(backbone: str) -> "BaseWeights":
    if backbone == "imagenet":
        return "imagenet"
    if backbone == "random":
        return None
    if not Path(backbone).is_file():
        raise click.BadParameter(f"{backbone!r} is not a file", param_hint="--backbone")
    return Path(backbone)


def _shortened(recipe: "Recipe", epochs: int | None) -> "Recipe":
    if epochs is None:
        return recipe
    return replace(recipe, training=replace(recipe.training, epochs=epochs))
