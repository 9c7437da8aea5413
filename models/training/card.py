"""The model card, filled from what ``preset.json`` holds, so that no figure is copied by hand."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

from models.preset import Preset
from models.training.summary import spread_text

CARD = "CARD.md"
_TEMPLATE = Path(__file__).with_name("card.md")
_FIGURES = (
    ("accuracy", "classification", "accuracy"),
    ("macro precision", "classification", "macro_precision"),
    ("macro recall", "classification", "macro_recall"),
    ("macro F1", "classification", "macro_f1"),
    ("Matthews correlation", "classification", "mcc"),
    ("Cohen's kappa", "classification", "kappa"),
    ("geometric mean of the recalls", "classification", "gmean"),
    ("macro ROC-AUC", "classification", "macro_roc_auc"),
    ("macro PR-AUC", "classification", "macro_pr_auc"),
    ("expected calibration error", "classification", "ece"),
    ("Dice, images with a lesion", "segmentation", "dice"),
    ("IoU, images with a lesion", "segmentation", "iou"),
    ("lesions touched by the mask", "segmentation", "found"),
    ("normal images left without a mask", "segmentation", "normal_without_mask"),
    ("Grad-CAM inside the lesion, share of its sum", "explanation", "energy_inside_lesion"),
    ("Grad-CAM highest inside the lesion", "explanation", "pointing_game"),
    ("lesion, share of the picture", "explanation", "lesion_area_share"),
)

_SIBLINGS = """\
The shipped network was then trained in the same way on all folds. It has seen every image of the
table below: its figures are those of networks trained like it, on fewer images, and scored on
images that those had not seen."""
_THEMSELVES = """\
The shipped network is that of the table below itself: it has not seen the images that it is
scored on."""

_MIRRORED = """\
Each frame is looked at as it is and mirrored, and the answers are averaged."""
_STRAIGHT = """\
Each frame is looked at once, as it is; nothing is averaged over flips."""

_CALIPERS = """
  Training paints calipers on images of every class; that lessens it, no more."""


def write_card(
    directory: Path, preset: Preset, *, data: str, start: str = "", choice: str = ""
) -> None:
    """Write ``CARD.md`` for a preset of `models.training.cross_validation.describe_preset`.

    ``data`` tells where the images come from and under which license, ``start`` the same of the
    starting weights (otherwise what the preset holds of them), ``choice`` how the recipe was
    arrived at; whole sentences in Markdown.
    """
    (directory / CARD).write_text(
        render_card(preset, data=data, start=start, choice=choice), encoding="utf-8"
    )


def render_card(preset: Preset, *, data: str, start: str = "", choice: str = "") -> str:
    """Return the card as Markdown."""
    facts = preset.trained
    return Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        vars(preset),
        data=data,
        start=start or facts["start"],
        choice=choice,
        images=facts["images"],
        folds=", ".join(str(fold) for fold in facts["held_out_folds"]),
        shipped=_members(facts["networks"]) if "networks" in facts else _own(facts),
        size=preset.network.input_size_px,
        sha256="`, `".join(network.sha256 for network in preset.networks),
        averaged=_averaged(preset),
        views=_MIRRORED if preset.mirrored else _STRAIGHT,
        calibration=_calibration(preset),
        abstention=_abstention(facts["abstention"]),
        calipers=_CALIPERS if facts["recipe"]["augment"]["ultrasound"] else "",
        made_by=_made_by(facts),
        figures=_table(facts),
        figures_by_class=_by_class(facts),
    )


def _own(facts: Mapping[str, Any]) -> str:
    sibling = set(facts["folds"]) & set(facts["held_out_folds"])
    recipe = facts["recipe"]
    return (
        f"{_SIBLINGS if sibling else _THEMSELVES}\n\n"
        f"Recipe `{recipe['name']}`: {_config(recipe['training'])}"
    )


def _made_by(facts: Mapping[str, Any]) -> str:
    train = f"`sonogate train {facts['recipe']['name']} --data DATA`"
    if "networks" not in facts:
        return train
    return f"{train} for each network's seed, then\n`sonogate combine OUT ... --data DATA`"


def _members(networks: Sequence[Mapping[str, Any]]) -> str:
    """Which networks of the table are shipped, and what each was trained by."""
    lines = []
    for number, each in enumerate(networks, 1):
        fold = each["held_out_fold"]
        spared = "every image" if fold is None else f"every image but those of fold {fold}"
        training = _config(each["recipe"]["training"])
        lines.append(f"{number}. recipe `{each['recipe']['name']}`, has seen {spared}: {training}")
    return "Each fold is scored by networks that have not seen it. Those shipped:\n\n" + "\n".join(
        lines
    )


def _averaged(preset: Preset) -> str:
    if not preset.further_networks:
        return ""
    return f"{len(preset.networks)} such networks, trained apart, are averaged: class logits and lesion probabilities."


def _calibration(preset: Preset) -> str:
    temperature = f"dividing logits by a temperature (Guo 2017), {preset.temperature:.3f}"
    if not any(preset.class_bias):
        return temperature
    biases = ", ".join(f"{bias:+.3f}" for bias in preset.class_bias)
    return f"{temperature}, and a bias for each class (Alexandari 2020), {biases}"


def _abstention(facts: Mapping[str, Any]) -> str:
    target = f"{facts['target']:.0%}"
    if not facts["coverage"]:
        return f"No confidence was found at which {target} of the answers were right."
    how = (
        "Found in the same way on the other folds, such a limit lets"
        if facts["held_out"]
        else "On the images that it was found on, which flatters it, it lets"
    )
    return (
        f"Answers of a confidence below {facts['below']:.3f} should not be asserted, so that"
        f" {target} of those that are be right. {how} {facts['coverage']:.1%} of the held-out images"
        f" through, and {facts['accuracy']:.1%} of these were right."
    )


def _config(config: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in config.items())


def _table(facts: Mapping[str, Any]) -> str:
    folds, spread, spans = (
        facts[key] for key in ("held_out", "held_out_spread", "held_out_intervals")
    )
    head = ["figure", *(f"fold {fold}" for fold in folds), "mean ± sd", "all held out (95 %)"]
    rows = []
    for title, part, key in _FIGURES:
        if key not in facts["held_out_pooled"].get(part, {}):
            continue  # an older version measured less
        each = [_number(report[part][key]) for report in folds.values()]
        pooled = _number(facts["held_out_pooled"][part][key])
        rows.append([title, *each, spread_text(spread.get(key)), pooled + _span(spans.get(key))])
    return _markdown(head, rows)


def _by_class(facts: Mapping[str, Any]) -> str:
    keys = ("precision", "recall", "f1", "recall_at_specificity")
    spans, rows = facts["held_out_intervals"], []
    for name, figures in facts["held_out_pooled"]["classification"]["by_class"].items():
        cells = [_number(figures[key]) + _span(spans.get(f"{name}_{key}")) for key in keys]
        rows.append([name, str(figures["support"]), *cells])
    head = ["class", "images", "precision", "recall", "F1", "recall at specificity 0.90"]
    return _markdown(head, rows)


def _markdown(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _span(span: Sequence[float | None] | None) -> str:
    low, high = span or (None, None)
    return "" if low is None or high is None else f" ({low:.3f} to {high:.3f})"
