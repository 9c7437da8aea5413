"""Recipes: the architecture and training of a network, and published metrics.

Recipes are TOML files in ``models/recipes``. Reading them does not load TensorFlow.
"""

import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from dicom.terms.classification import CLASSES
from models.types import ModelError

RECIPES = Path(__file__).parent / "recipes"


class RecipeInvalid(ModelError):
    """Raised when a recipe does not exist or has an invalid value."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class InputSpec(_Section):
    """How an image is converted to the network's input.

    ``letterbox`` preserves the aspect ratio and pads with black, ``squash`` stretches the image to
    the square, as most publications do. Networks take gray ``(b, s, s, 1)`` or RGB ``(b, s, s, 3)``
    in 0..255 and scale it themselves.
    """

    size_px: int = Field(ge=32)
    fit: Literal["letterbox", "squash"] = "letterbox"
    channels: Literal[1, 3] = 1


class HeadLayer(_Section):
    """A Keras layer of a classifier's head: its class name and constructor arguments."""

    layer: str
    arguments: dict[str, Any] = {}


class NetworkSpec(_Section):
    """The architecture.

    ``encoder`` is a name from `models.networks.encoders`, or "" for none. ``frozen_to`` is the last
    encoder layer that is not trained; "" trains all layers, "all" none. ``decoder`` and ``widths``,
    finest grid first, are for segmenters. ``head`` is for classifiers: the layers between the
    encoder and the logits.
    """

    kind: Literal["classifier", "segmenter", "joint"]
    encoder: str = ""
    frozen_to: str = ""
    head: tuple[HeadLayer, ...] = ()
    decoder: Literal["", "unet", "res-unet", "attention-res-unet"] = ""
    widths: tuple[int, ...] = ()
    dropout: float = Field(default=0.0, ge=0, lt=1)

    @model_validator(mode="after")
    def _check_kind(self) -> "NetworkSpec":
        if self.kind == "segmenter" and (len(self.widths) < 2 or not self.decoder):
            raise ValueError("a segmenter needs a decoder and at least two widths")
        if self.kind != "segmenter" and not self.encoder:
            raise ValueError(f"a {self.kind} needs an encoder")
        if self.kind == "joint" and (self.widths or self.head or self.decoder):
            raise ValueError(
                "a joint network has a fixed decoder and head; remove widths, head and decoder"
            )
        return self


class AugmentSpec(_Section):
    """Data augmentation (`models.training.augment`).

    ``ultrasound`` is Sonogate's augmentation for B-mode images, the others are generic. Ranges give
    the largest change in either direction: in degrees, as a fraction of the side, or as a factor
    minus 1.
    """

    ultrasound: bool = False
    horizontal_flip: bool = False
    vertical_flip: bool = False
    rotation_deg: float = 0.0
    shift_fraction: float = 0.0
    zoom: float = 0.0
    shear_deg: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0


class TrainingSpec(_Section):
    """Training settings.

    ``patience``: stop after this many epochs without a lower validation loss; 0 trains all epochs
    and uses all images for training. ``schedule``: ``cosine`` decays to ``final_lr_fraction`` of
    the learning rate. ``backbone_lr_multiplier`` scales the learning rate of the encoder.
    ``ema_momentum``: momentum of the moving average of weights that is saved, 0 for none.
    ``clip_norm``: largest gradient norm of a variable, 0 for no limit. ``balance``: ``oversample``
    repeats images of rare classes until all classes are equally frequent, ``inverse-sqrt`` samples
    images by the inverse square root of class frequency, ``class-weights`` weights the loss.
    """

    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    optimizer: Literal["adam", "adamw", "sgd", "rmsprop"] = "adam"
    learning_rate: float = Field(gt=0)
    schedule: Literal["constant", "cosine", "plateau"] = "constant"
    final_lr_fraction: float = Field(default=0.0, ge=0, le=1)
    backbone_lr_multiplier: float = Field(default=1.0, gt=0, le=1)
    weight_decay: float = Field(default=0.0, ge=0)
    ema_momentum: float = Field(default=0.0, ge=0, lt=1)
    clip_norm: float = Field(default=0.0, ge=0)
    loss: Literal["cross-entropy", "focal", "dice", "overlap"] = "cross-entropy"
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    balance: Literal["none", "inverse-sqrt", "oversample", "class-weights"] = "none"
    patience: int = Field(default=0, ge=0)
    mixed_precision: bool = False
    seed: int = 0


class InferenceSpec(_Section):
    """Settings of the preset made from this recipe, see `models.preset.Preset`.

    ``mask_seed_threshold`` and ``mirrored`` apply to joint networks only. ``class_bias``:
    calibration also fits a bias per class, which needs more held-out images.
    """

    mask_threshold: float = 0.5
    mask_seed_threshold: float = 0.5
    mirrored: bool = False
    class_bias: bool = False


class Published(_Section):
    """A publication of this architecture, with its metrics (0 to 1) on its own split.

    ``assumed`` lists settings that the publication does not state and this recipe chooses.
    """

    work: str
    url: str = ""
    data: str
    split: str
    metrics: dict[str, float]
    assumed: tuple[str, ...] = ()


class Recipe(_Section):
    """A recipe file. ``name`` is the file name; ``tune`` maps dotted keys to values to try."""

    name: str
    summary: str
    classes: tuple[str, ...] = CLASSES
    input: InputSpec
    network: NetworkSpec
    training: TrainingSpec
    augment: AugmentSpec = AugmentSpec()
    inference: InferenceSpec = InferenceSpec()
    published: Published | None = None
    tune: dict[str, tuple[int | float | str, ...]] = {}

    @model_validator(mode="after")
    def _check_tune(self) -> "Recipe":
        for key, values in self.tune.items():
            for value in values:
                self.with_value(key, value)
        return self

    def with_value(self, key: str, value: float | str) -> "Recipe":
        """Return a copy with the value of a dotted key such as ``training.epochs`` replaced.

        Raises:
            ValueError: the key does not exist, or the value is invalid.
        """
        section, _, field = key.partition(".")
        values = self.model_dump(exclude={"tune"})
        if not isinstance(values.get(section), dict) or field not in values[section]:
            raise ValueError(f"the recipe has no key {key!r}")
        changed = {**values, section: {**values[section], field: value}, "tune": {}}
        return Recipe.model_validate(changed).model_copy(update={"tune": self.tune})


def recipe_names() -> list[str]:
    """Return the names of the recipes that are part of Sonogate."""
    return sorted(file.stem for file in RECIPES.glob("*.toml"))


def read_recipe(name: str) -> Recipe:
    """Read a recipe by name, or from a ``.toml`` file.

    Raises:
        RecipeInvalid: the recipe does not exist or is invalid.
    """
    file = Path(name) if name.endswith(".toml") else RECIPES / f"{name}.toml"
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
        return Recipe(name=file.stem, **values)
    except FileNotFoundError as error:
        known = ", ".join(recipe_names())
        raise RecipeInvalid(
            f"no recipe {name!r}: choose one of {known}, or a .toml file"
        ) from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RecipeInvalid(f"recipe {file.name} cannot be read: {error}") from error
    except ValidationError as error:
        problems = []
        for problem in error.errors():
            key = ".".join(map(str, problem["loc"]))
            problems.append(f"{key}: {problem['msg']}" if key else problem["msg"])
        raise RecipeInvalid(f"recipe {file.name}: {'; '.join(problems)}") from error
    except TypeError as error:
        raise RecipeInvalid(f"recipe {file.name}: {error}") from error
