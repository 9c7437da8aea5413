"""The report as one HTML file that needs nothing else."""

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any, NamedTuple

TITLES = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "macro_precision": "Macro precision",
    "macro_recall": "Macro recall",
    "macro_f1": "Macro F1",
    "mcc": "Matthews correlation",
    "gmean": "Geometric mean of the recalls",
    "kappa": "Cohen's kappa",
    "macro_roc_auc": "Macro ROC-AUC",
    "macro_pr_auc": "Macro PR-AUC",
    "malignant_recall": "Recall of malignant",
    "malignant_recall_at_specificity_0.90": "Recall of malignant at specificity 0.90",
    "malignant_recall_at_specificity": "Recall of malignant at specificity 0.90",
    "ece": "Expected calibration error",
    "dice": "Dice, images with a lesion",
    "iou": "IoU, images with a lesion",
    "normal_without_mask": "Normal images left without an outline",
    "energy_inside_lesion": "Grad-CAM inside the lesion, share of its sum",
    "pointing_game": "Grad-CAM highest inside the lesion",
    "lesion_area_share": "Lesion, share of the picture",
}


class Gallery(NamedTuple):
    """The worst of ``total`` mistakes, each a caption and a data URL of `plots.tile`."""

    tiles: Sequence[tuple[str, str]]
    total: int
    note: str


_WARNING = """\
These figures tell of these images. Images that the networks were trained on flatter them; the model
card says which those are."""


def render(report: Mapping[str, Any], plots: Mapping[str, str], gallery: Gallery) -> str:
    """Fill the page; ``plots`` are SVG."""
    preset, classes = report["preset"], report["classification"]
    body = filled(
        "preset.html",
        headline=_headline(report["headline"]),
        classes=classes_section(classes, plots),
        masks=_masks(report["segmentation"]),
        checks=_checks(report),
        mistakes=mistakes_section(gallery),
        digest=html.escape(preset["classifier_digest"]),
    )
    return whole_page(
        f"How good is {preset['name']} {preset['version']}?",
        f"Scored on {classes['images']} images of {report['data']}.",
        _WARNING,
        body,
    )


def whole_page(title: str, lead: str, warning: str, body: str) -> str:
    """A page that needs nothing else; plain texts, but ``body`` is HTML."""
    texts = {"title": title, "lead": lead, "warning": warning}
    escaped = {name: html.escape(text) for name, text in texts.items()}
    return filled("page.html", **escaped, body=body)


def classes_section(classes: Mapping[str, Any], plots: Mapping[str, str]) -> str:
    """What `models.assessment.figures.classification` gave, with `plots.of_classes`."""
    agreement = ("weighted_precision", "weighted_recall", "weighted_f1", "gmean", "kappa")
    return filled(
        "classes.html",
        by_class=_by_class(classes["by_class"]),
        other=_facts({key: classes[key] for key in agreement}),
        aurc=number(classes["risk_coverage"]["aurc"]),
        ece=number(classes["ece"]),
        **{f"plot_{name}": svg for name, svg in plots.items()},
    )


def mistakes_section(gallery: Gallery) -> str:
    """Tell how many there were too, where not all of them are shown."""
    shown = len(gallery.tiles)
    return filled(
        "mistakes.html",
        title=f"The worst {shown} of {gallery.total} mistakes" if shown else "Mistakes",
        note=html.escape(gallery.note if shown else "There were none."),
        gallery="".join(_tile(*each) for each in gallery.tiles),
    )


def filled(template: str, **parts: str) -> str:
    """A template beside this module with HTML in its places."""
    file = Path(__file__).with_name(template)
    return Template(file.read_text(encoding="utf-8")).substitute(parts)


def _headline(figures: Mapping[str, Mapping[str, float | None]]) -> str:
    rows = [
        [
            TITLES[name],
            number(each["value"]),
            f"{number(each['low'])} to {number(each['high'])}",
        ]
        for name, each in figures.items()
    ]
    return table(["Figure", "Value", "95 % interval"], rows)


def _by_class(figures: Mapping[str, Mapping[str, Any]]) -> str:
    keys = ("precision", "recall", "f1", "roc_auc", "pr_auc")
    rows = [
        [name, str(figures[name]["support"]), *(number(figures[name][key]) for key in keys)]
        for name in figures
    ]
    return table(["Class", "Images", "Precision", "Recall", "F1", "ROC-AUC", "PR-AUC"], rows)


def _masks(figures: Mapping[str, Any]) -> str:
    named = {"all lesions": figures["all"], **figures["by_class"], **figures["by_size"]}
    rows = [
        [
            name,
            str(each["images"]),
            *(number(each[key]) for key in ("dice", "iou")),
            number(each["hd95_px"], 1),
            *(number(each[key]) for key in ("hd95_share_of_diagonal", "pixel_accuracy", "found")),
        ]
        for name, each in named.items()
    ]
    head = ["Lesions", "Images", "Dice", "IoU", "HD95, px", "HD95 / diagonal", "Pixels right"]
    return table([*head, "Touched"], rows)


def _checks(report: Mapping[str, Any]) -> str:
    parts = [("Grad-CAM and the lesion", _facts(report["explanation"], TITLES))]
    if "randomization" in report:
        parts.append(
            ("Likeness of heat maps to those of spoilt weights", _facts(report["randomization"]))
        )
    if "robustness" in report:
        rows = [
            [name, *(number(x[key]) for key in ("accuracy", "macro_roc_auc", "dice", "changed"))]
            for name, x in report["robustness"].items()
        ]
        head = ["Change of the picture", "Accuracy", "Macro ROC-AUC", "Dice", "Answers changed"]
        parts.append(("Robustness", table(head, rows)))
    return "".join(f"<h3>{title}</h3>{table}" for title, table in parts)


def _facts(values: Mapping[str, float | None], titles: Mapping[str, str] | None = None) -> str:
    known = titles or {}
    rows = [[known.get(x, x.replace("_", " ")), number(value)] for x, value in values.items()]
    return table(["Figure", "Value"], rows)


def figure(svg: str, caption: str) -> str:
    """A plot over a plain text."""
    return f"<figure>{svg}<figcaption>{html.escape(caption)}</figcaption></figure>"


def _tile(caption: str, url: str) -> str:
    text = html.escape(caption)
    return f'<figure><img src="{url}" alt="{text}"><figcaption>{text}</figcaption></figure>'


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """An HTML table of plain texts; the first of each row is its head."""
    top = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in head)
    body = "".join(
        f'<tr><th scope="row">{html.escape(first)}</th>'
        + "".join(f"<td>{html.escape(cell)}</td>" for cell in rest)
        + "</tr>"
        for first, *rest in rows
    )
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def number(value: float | None, digits: int = 3) -> str:
    """A figure to be read; a dash for None or NaN."""
    return "–" if value is None or value != value else f"{value:.{digits}f}"  # noqa: PLR0124  # NaN
