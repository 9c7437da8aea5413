"""Results of a network on held-out images, and their metrics."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dicom.terms.classification import CLASSES
from models.atomic_write import write_text_atomically
from models.data.dataset import Sample
from models.evaluation.calibration import class_probabilities, true_labels
from models.evaluation.metrics import (
    HeatmapLocalization,
    Overlap,
    nan_to_none,
    score_classes,
    score_heatmaps,
    score_masks,
)
from models.types import DatasetError

if TYPE_CHECKING:
    from models.training.predictions import PredictSamples

HELD_OUT_FILE = "held-out.json"
"""Results of a fold, in the directory of its network."""
_BATCH_SIZE = 8


@dataclass(frozen=True)
class HeldOutResult:
    """The prediction for one held-out image, compared with its ground truth.

    ``image`` is its `image_name`. ``probabilities`` is empty if the recipe does not classify,
    ``overlap`` None if it does not segment, ``localization`` None if the image has no lesion.
    """

    image: str
    duplicate_group: int
    label: int
    probabilities: tuple[float, ...] = ()
    overlap: Overlap | None = None
    localization: HeatmapLocalization | None = None


def image_name(sample: Sample) -> str:
    """Return the file name of a sample with its folder, as manifests list it."""
    return f"{sample.image.parent.name}/{sample.image.name}"


def score_held_out(predict: "PredictSamples", samples: Sequence[Sample]) -> list[HeldOutResult]:
    """Predict each sample and compare the prediction with the ground truth."""
    results = []
    for start in range(0, len(samples), _BATCH_SIZE):
        batch = samples[start : start + _BATCH_SIZE]
        for sample, prediction in zip(batch, predict(batch), strict=True):
            _, lesion = sample.read()
            mask = prediction.mask
            results.append(
                HeldOutResult(
                    image_name(sample),
                    sample.duplicate_group,
                    sample.label,
                    prediction.probabilities,
                    None if mask is None else Overlap.from_masks(lesion, mask),
                    HeatmapLocalization.from_heatmap(prediction.heatmap, lesion),
                )
            )
    return results


def compute_metrics(
    results: Sequence[HeldOutResult], classes: Sequence[str] = CLASSES
) -> dict[str, Any]:
    """Return metrics as plain values; undefined ones are None.

    The keys ``classification``, ``segmentation`` and ``explanation`` are present as far as the
    results allow.
    """
    parts: dict[str, Any] = {}
    if results[0].probabilities:
        labels, probabilities = true_labels(results), class_probabilities(results)
        parts["classification"] = asdict(score_classes(labels, probabilities, classes))
    overlaps = [x.overlap for x in results if x.overlap is not None]
    if overlaps:
        parts["segmentation"] = asdict(score_masks(overlaps))
    localizations = [x.localization for x in results if x.localization is not None]
    if localizations:
        parts["explanation"] = asdict(score_heatmaps(localizations))
    metrics: dict[str, Any] = nan_to_none(parts)
    return metrics


def flatten_metrics(parts: Mapping[str, Any]) -> dict[str, float]:
    """Flatten `compute_metrics` to names such as ``accuracy``, ``malignant_recall``, ``dice``."""
    flat: dict[str, Any] = {}
    for part in parts.values():
        flat |= part
        for class_name, metrics in part.get("by_class", {}).items():
            flat |= {f"{class_name}_{key}": x for key, x in metrics.items()}
    return {key: float(x) for key, x in flat.items() if isinstance(x, int | float)}


def write_held_out(file: Path, results: Sequence[HeldOutResult], run: Mapping[str, Any]) -> None:
    """Write results as JSON, together with values of the training run."""
    rows = [asdict(result) for result in results]
    write_text_atomically(file, json.dumps({**run, "images": rows}, indent=1))


def read_held_out(file: Path) -> tuple[list[HeldOutResult], dict[str, Any]]:
    """Read the results and run values that `write_held_out` wrote.

    Raises:
        DatasetError: the file cannot be read.
    """
    try:
        run = json.loads(file.read_text(encoding="utf-8"))
        results = []
        for row in run.pop("images"):
            overlap, localization = row["overlap"], row.get("localization")
            results.append(
                HeldOutResult(
                    row["image"],
                    row["duplicate_group"],
                    row["label"],
                    tuple(row["probabilities"]),
                    Overlap(**overlap) if overlap else None,
                    HeatmapLocalization(**localization) if localization else None,
                )
            )
        return results, run
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        name = f"{file.parent.name}/{file.name}"
        raise DatasetError(f"{name} cannot be read as held-out results ({error})") from error
