"""The model card of a preset, filled from its ``preset.json``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

from models.preset import Preset
from models.training.summary import format_spread

CARD = "CARD.md"
_TEMPLATE = Path(__file__).with_name("model_card.md")
_METRICS = (
    ("accuracy", "classification", "accuracy"),
    ("macro precision", "classification", "macro_precision"),
    ("macro recall", "classification", "macro_recall"),
    ("macro F1", "classification", "macro_f1"),
    ("Matthews correlation", "classification", "mcc"),
    ("Cohen's kappa", "classification", "kappa"),
    ("geometric mean of recalls", "classification", "gmean"),
    ("macro ROC-AUC", "classification", "macro_roc_auc"),
    ("macro PR-AUC", "classification", "macro_pr_auc"),
    ("expected calibration error", "classification", "ece"),
    ("Dice, images with a lesion", "segmentation", "dice"),
    ("IoU, images with a lesion", "segmentation", "iou"),
    ("lesions overlapped by the mask", "segmentation", "detection_rate"),
    ("normal images without a mask", "segmentation", "normal_without_mask"),
    ("share of Grad-CAM inside the lesion", "explanation", "energy_inside_lesion"),
    ("Grad-CAM maximum inside the lesion", "explanation", "pointing_game"),
    ("lesion, share of the image", "explanation", "lesion_area_share"),
)

_TRAINED_ON_ALL = """\
The shipped network was then trained in the same way on all folds. It was trained on every image in the
table below. The metrics there are those of networks trained like it on fewer images, each scored on
images that it was not trained on."""
_TRAINED_WITHOUT_FOLD = """\
The shipped network is the one in the table below. It was not trained on the images that it is
scored on."""

_MIRRORED = """\
Test-time augmentation: predictions for the frame and its mirror image are averaged."""
_NOT_MIRRORED = """\
No test-time augmentation: each frame is predicted once."""

_CALIPERS = """
  Training paints calipers on images of every class, which reduces the effect but does not remove it."""


def write_card(
    directory: Path, preset: Preset, *, data: str, initial_weights: str = "", choices: str = ""
) -> None:
    """Write ``CARD.md`` for a preset from `models.training.cross_validation.describe_preset`.

    The arguments are Markdown sentences: ``data`` about the origin and license of the images,
    ``initial_weights`` about those of the initial weights (default: what the preset says), and
    ``choices`` about decisions that were made on held-out images.
    """
    card = render_card(preset, data=data, initial_weights=initial_weights, choices=choices)
    (directory / CARD).write_text(card, encoding="utf-8")


def render_card(preset: Preset, *, data: str, initial_weights: str = "", choices: str = "") -> str:
    """Return the card as Markdown; arguments as for `write_card`."""
    results = preset.trained
    reproduction = f"`sonogate train {results['recipe']['name']} --data DATA`"
    if "networks" in results:
        reproduction += (
            " with the seed of each network, followed by\n`sonogate combine OUT ... --data DATA`,"
        )
    ensemble = (
        f"The class logits and lesion probabilities of {len(preset.networks)} such networks, trained"
        " independently, are averaged."
    )
    calibration = f"temperature scaling (Guo 2017) with a temperature of {preset.temperature:.3f}"
    if any(preset.class_bias):
        biases = ", ".join(f"{bias:+.3f}" for bias in preset.class_bias)
        calibration += f" and class biases (Alexandari 2020) of {biases}"
    return Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        name=preset.name,
        version=preset.version,
        mask_threshold=preset.mask_threshold,
        mask_seed_threshold=preset.mask_seed_threshold,
        data=data,
        initial_weights=initial_weights or results["initial_weights"],
        choices=choices,
        images=results["images"],
        folds=", ".join(str(fold) for fold in results["held_out_folds"]),
        shipped=_shipped_text(results),
        size=preset.network.input_size_px,
        sha256="`, `".join(network.sha256 for network in preset.networks),
        ensemble=ensemble if preset.further_networks else "",
        test_time_augmentation=_MIRRORED if preset.mirrored else _NOT_MIRRORED,
        calibration=calibration,
        confidence=_confidence_text(results["confidence_threshold"]),
        calipers=_CALIPERS if results["recipe"]["augment"]["ultrasound"] else "",
        reproduction=reproduction,
        metrics=_metrics_table(results),
        metrics_by_class=_class_table(results),
    )


def _shipped_text(results: Mapping[str, Any]) -> str:
    """Describe the training of the network, or of each network of an ensemble."""
    if "networks" not in results:
        trained_on_all = set(results["folds"]) & set(results["held_out_folds"])
        recipe = results["recipe"]
        return (
            f"{_TRAINED_ON_ALL if trained_on_all else _TRAINED_WITHOUT_FOLD}\n\n"
            f"Recipe `{recipe['name']}`: {_settings_text(recipe['training'])}"
        )
    lines = [
        "Each fold is scored by networks that were not trained on it. The preset contains:",
        "",
    ]
    for number, network in enumerate(results["networks"], 1):
        fold, recipe = network["held_out_fold"], network["recipe"]
        images = "all images" if fold is None else f"all images except those of fold {fold}"
        settings = _settings_text(recipe["training"])
        lines.append(f"{number}. recipe `{recipe['name']}`, trained on {images}: {settings}")
    return "\n".join(lines)


def _confidence_text(threshold: Mapping[str, Any]) -> str:
    target = f"{threshold['target_accuracy']:.0%}"
    if not threshold["coverage"]:
        return f"No confidence threshold reaches the target accuracy of {target}."
    how = (
        "With thresholds chosen in the same way on the other folds,"
        if threshold["held_out"]
        else "On the images that it was chosen on, which is optimistic,"
    )
    return (
        f"A result with a confidence below {threshold['threshold']:.3f} is undecided.\n"
        f"The threshold was chosen for an accuracy of {target} on the other results. {how}\n"
        f"{threshold['coverage']:.1%} of the held-out images are at or above it, with an accuracy"
        f" of {threshold['accuracy']:.1%}."
    )


def _settings_text(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in settings.items())


def _metrics_table(results: Mapping[str, Any]) -> str:
    folds, pooled = results["held_out"], results["held_out_pooled"]
    header = ["metric", *(f"fold {x}" for x in folds), "mean ± sd", "all held-out images (95 % CI)"]
    rows = []
    for title, part, key in _METRICS:
        if key not in pooled.get(part, {}):
            continue
        by_fold = [_format_number(metrics[part][key]) for metrics in folds.values()]
        interval = _format_interval(results["held_out_intervals"].get(key))
        spread = format_spread(results["held_out_spread"].get(key))
        rows.append([title, *by_fold, spread, _format_number(pooled[part][key]) + interval])
    return _markdown_table(header, rows)


def _class_table(results: Mapping[str, Any]) -> str:
    keys = ("precision", "recall", "f1", "recall_at_specificity")
    intervals, rows = results["held_out_intervals"], []
    for name, metrics in results["held_out_pooled"]["classification"]["by_class"].items():
        cells = [
            _format_number(metrics[key]) + _format_interval(intervals.get(f"{name}_{key}"))
            for key in keys
        ]
        rows.append([name, str(metrics["support"]), *cells])
    header = ["class", "images", "precision", "recall", "F1", "recall at specificity 0.90"]
    return _markdown_table(header, rows)


def _markdown_table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _format_number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _format_interval(interval: Sequence[float | None] | None) -> str:
    low, high = interval or (None, None)
    return "" if low is None or high is None else f" ({low:.3f} to {high:.3f})"
