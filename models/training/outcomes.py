"""What networks said of held-out images, by name, and the figures of it."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dicom.terms.classification import CLASSES
from models.evaluation import Heat, Overlap, score_classes, score_heat, score_masks
from models.training.dataset import Sample
from models.types import DatasetError
from models.whole_file import write_text

if TYPE_CHECKING:
    from models.training.answers import Answer, Ask

_CHUNK = 8


@dataclass(frozen=True)
class ImageOutcome:
    """One held-out image: its name, its class, what was said of it, uncalibrated.

    ``probabilities`` is empty for a network that only outlines, ``overlap`` None for one that only
    classifies, ``heat`` for an image without a lesion.
    """

    image: str
    duplicate_group: int
    label: int
    probabilities: tuple[float, ...] = ()
    overlap: Overlap | None = None
    heat: Heat | None = None


def image_name(sample: Sample) -> str:
    """Name a sample by its file and the folder that it lies in, as manifests do."""
    return f"{sample.image.parent.name}/{sample.image.name}"


def outcomes_of(ask: "Ask", samples: Sequence[Sample]) -> list[ImageOutcome]:
    """Ask about each sample."""
    return [
        _outcome(sample, answer)
        for chunk in _chunks(samples)
        for sample, answer in zip(chunk, ask(chunk), strict=True)
    ]


def figures(outcomes: Sequence[ImageOutcome], classes: Sequence[str] = CLASSES) -> dict[str, Any]:
    """Score outcomes as ``classification``, ``segmentation`` and ``explanation``, what there is of
    them; None is a figure without a meaning on these images."""
    parts: dict[str, Any] = {}
    if outcomes[0].probabilities:
        labels = np.array([x.label for x in outcomes])
        probabilities = np.array([x.probabilities for x in outcomes])
        parts["classification"] = asdict(score_classes(labels, probabilities, classes))
    overlaps = [x.overlap for x in outcomes if x.overlap is not None]
    if overlaps:
        parts["segmentation"] = asdict(score_masks(overlaps))
    heats = [x.heat for x in outcomes if x.heat is not None]
    if heats:
        parts["explanation"] = asdict(score_heat(heats))
    cleaned: dict[str, Any] = _without_nan(parts)
    return cleaned


def named_figures(parts: Mapping[str, Any]) -> dict[str, float]:
    """Flatten what `figures` gave: ``accuracy``, ``malignant_recall``, ``dice`` ..."""
    flat: dict[str, Any] = {}
    for part in parts.values():
        flat |= {key: x for key, x in part.items() if isinstance(x, int | float)}
        for name, one in part.get("by_class", {}).items():
            flat |= {f"{name}_{key}": x for key, x in one.items()}
    return {key: float(x) for key, x in flat.items() if isinstance(x, int | float)}


def write_outcomes(file: Path, outcomes: Sequence[ImageOutcome], facts: Mapping[str, Any]) -> None:
    """Write outcomes and ``facts`` of the training they came from as JSON."""
    rows = [asdict(outcome) for outcome in outcomes]
    write_text(file, json.dumps({**facts, "images": rows}, indent=1))


def read_outcomes(file: Path) -> tuple[list[ImageOutcome], dict[str, Any]]:
    """Read what `write_outcomes` wrote. Raises `DatasetError`."""
    try:
        facts = json.loads(file.read_text(encoding="utf-8"))
        return [_parsed(row) for row in facts.pop("images")], facts
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        place = f"{file.parent.name}/{file.name}"
        raise DatasetError(f"{place} cannot be read as what a network said ({error})") from error


def _parsed(row: dict[str, Any]) -> ImageOutcome:
    overlap = Overlap(**row["overlap"]) if row["overlap"] else None
    heat = Heat(**row["heat"]) if row.get("heat") else None  # an older version kept none
    return ImageOutcome(
        row["image"], row["duplicate_group"], row["label"], tuple(row["probabilities"]),
        overlap, heat,
    )  # fmt: skip


def _outcome(sample: Sample, answer: "Answer") -> ImageOutcome:
    _, lesion = sample.read()
    return ImageOutcome(
        image_name(sample),
        sample.duplicate_group,
        sample.label,
        answer.probabilities,
        None if answer.mask is None else Overlap.of(lesion, answer.mask),
        Heat.of(answer.heatmap, lesion),
    )


def _chunks(samples: Sequence[Sample]) -> Iterator[list[Sample]]:
    remaining = iter(samples)
    while chunk := list(islice(remaining, _CHUNK)):
        yield chunk


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(inner) for key, inner in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value
