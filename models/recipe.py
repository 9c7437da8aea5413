"""A recipe: what a network is built of, how it is trained and what was published of it.

Recipes are data: ``models/recipes/*.toml``. Reading one loads no TensorFlow.
"""

import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from dicom.terms.classification import CLASSES
from models.types import ModelError

RECIPES = Path(__file__).parent / "recipes"


class RecipeInvalid(ModelError):
    """A recipe that does not exist or does not say what it must; the text names the key."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class InputSpec(_Part):
    """How an image becomes the network's input.

    ``letterbox`` keeps the aspect ratio and pads with black, ``squash`` stretches into the square,
    as most published works do. Networks take uint8-ranged gray ``(b, s, s, 1)`` or RGB
    ``(b, s, s, 3)`` in 0..255 and scale it themselves.
    """

    size_px: int = Field(ge=32)
    fit: Literal["letterbox", "squash"] = "letterbox"
    channels: Literal[1, 3] = 1


class HeadLayer(_Part):
    """One Keras layer of a classifier's head: its class name and constructor arguments."""

    layer: str
    arguments: dict[str, Any] = {}


class NetworkSpec(_Part):
    """What is built. ``encoder`` names an entry of `models.networks.encoders`, "" for none.

    ``frozen_to``: "" trains everything, "all" nothing of the encoder, otherwise the last layer that
    keeps its starting weights. ``decoder`` and ``widths``, finest grid first, are for segmenters;
    ``head`` is for classifiers, from the encoder's features to what precedes the logits.
    """

    kind: Literal["classifier", "segmenter", "joint"]
    encoder: str = ""
    frozen_to: str = ""
    head: tuple[HeadLayer, ...] = ()
    decoder: Literal["", "unet", "res-unet", "attention-res-unet"] = ""
    widths: tuple[int, ...] = ()
    dropout: float = Field(default=0.0, ge=0, lt=1)

    @model_validator(mode="after")
    def _complete(self) -> "NetworkSpec":
        if self.kind == "segmenter" and (len(self.widths) < 2 or not self.decoder):
            raise ValueError("a segmenter needs a decoder and two widths or more")
        if self.kind != "segmenter" and not self.encoder:
            raise ValueError(f"a {self.kind} needs an encoder")
        if self.kind == "joint" and (self.widths or self.head or self.decoder):
            raise ValueError("a joint network's decoder and head are fixed; name neither")
        return self


class AugmentSpec(_Part):
    """``ultrasound`` is our own (`models.training.augment`); the rest as published works name it.

    Ranges are the largest change either way: degrees, shares of the side, factors minus 1.
    """

    ultrasound: bool = False
    mirror: bool = False
    upside_down: bool = False
    rotate_deg: float = 0.0
    shift_share: float = 0.0
    zoom: float = 0.0
    shear_deg: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0


class TrainingSpec(_Part):
    """How it is trained; ``patience`` epochs without a better loss on images set aside end it early.

    ``patience`` 0: a number of epochs fixed beforehand, all images trained on. ``backbone_share``:
    the encoder learns at this share of the rate. ``weight_averaging``: momentum of the running
    average of weights that is kept in the end, 0 for none. ``clip_norm``: no gradient of a variable
    is longer, 0 for any length.
    """

    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    optimizer: Literal["adam", "adamw", "sgd", "rmsprop"] = "adam"
    learning_rate: float = Field(gt=0)
    schedule: Literal["constant", "cosine", "plateau"] = "constant"
    final_rate_share: float = Field(default=0.0, ge=0, le=1)
    backbone_share: float = Field(default=1.0, gt=0, le=1)
    weight_decay: float = Field(default=0.0, ge=0)
    weight_averaging: float = Field(default=0.0, ge=0, lt=1)
    clip_norm: float = Field(default=0.0, ge=0)
    loss: Literal["cross-entropy", "focal", "dice", "overlap"] = "cross-entropy"
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    balance: Literal["none", "root", "oversample", "class-weights"] = "none"
    patience: int = Field(default=0, ge=0)
    mixed_precision: bool = False
    seed: int = 0


class ReadingSpec(_Part):
    """How answers are read; see `models.preset.Preset`.

    ``mask_threshold`` is for whatever outlines, ``mask_seed_threshold`` and ``mirrored`` for joint
    networks. ``class_bias``: calibration also moves each class, which takes more held-out images to fit.
    """

    mask_threshold: float = 0.5
    mask_seed_threshold: float = 0.5
    mirrored: bool = False
    class_bias: bool = False


class Published(_Part):
    """What a publication says of this recipe: figures in 0..1, on its own split.

    ``assumed`` lists what the publication leaves open and this recipe had to choose.
    """

    work: str
    url: str = ""
    data: str
    split: str
    figures: dict[str, float]
    assumed: tuple[str, ...] = ()


class Recipe(_Part):
    """One file of ``models/recipes``; ``name`` is the file's. ``tune``: key to values to try."""

    name: str
    summary: str
    classes: tuple[str, ...] = CLASSES
    input: InputSpec
    network: NetworkSpec
    training: TrainingSpec
    augment: AugmentSpec = AugmentSpec()
    reading: ReadingSpec = ReadingSpec()
    published: Published | None = None
    tune: dict[str, tuple[int | float | str, ...]] = {}

    @model_validator(mode="after")
    def _tunes_what_there_is(self) -> "Recipe":
        for key, values in self.tune.items():
            for value in values:
                self.with_value(key, value)
        return self

    def with_value(self, key: str, value: float | str) -> "Recipe":
        """Return the recipe with one dotted key changed. Raises ValueError when it cannot be."""
        part, _, field = key.partition(".")
        values = self.model_dump(exclude={"tune"})
        if not isinstance(values.get(part), dict) or field not in values[part]:
            raise ValueError(f"there is no {key!r} to change")
        return Recipe.model_validate(
            {**values, part: {**values[part], field: value}, "tune": {}}
        ).model_copy(update={"tune": self.tune})


def recipe_names() -> list[str]:
    """Names of the recipes that come with Sonogate."""
    return sorted(file.stem for file in RECIPES.glob("*.toml"))


def read_recipe(name: str) -> Recipe:
    """Read a recipe by its name, or from a TOML file of your own. Raises `RecipeInvalid`."""
    file = Path(name) if name.endswith(".toml") else RECIPES / f"{name}.toml"
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
        return Recipe(name=file.stem, **values)
    except FileNotFoundError as error:
        known = ", ".join(recipe_names())
        raise RecipeInvalid(f"no recipe {name!r}; there are {known}, or a .toml file") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RecipeInvalid(f"recipe {file.name} cannot be read: {error}") from error
    except (ValidationError, TypeError) as error:
        raise RecipeInvalid(f"recipe {file.name}: {_told(error)}") from error


def _told(error: ValidationError | TypeError) -> str:
    if isinstance(error, TypeError):
        return str(error)
    return "; ".join(
        f"{'.'.join(str(x) for x in one['loc'])}: {one['msg']}" for one in error.errors()
    )
