"""Building blocks of HTML reports, which are single files without external resources."""

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
    "gmean": "Geometric mean of recalls",
    "kappa": "Cohen's kappa",
    "macro_roc_auc": "Macro ROC-AUC",
    "macro_pr_auc": "Macro PR-AUC",
    "malignant_recall": "Recall of malignant",
    "malignant_recall_at_specificity_0.90": "Recall of malignant at specificity 0.90",
    "malignant_recall_at_specificity": "Recall of malignant at specificity 0.90",
    "ece": "Expected calibration error",
    "dice": "Dice, images with a lesion",
    "iou": "IoU, images with a lesion",
    "normal_without_mask": "Normal images without a mask",
    "energy_inside_lesion": "Share of Grad-CAM inside the lesion",
    "pointing_game": "Grad-CAM maximum inside the lesion",
    "lesion_area_share": "Lesion, share of the image",
}
_TEMPLATES = Path(__file__).parent / "templates"


class Gallery(NamedTuple):
    """The worst of ``total`` errors, each a caption and a data URL from `plots.render_tile`."""

    tiles: Sequence[tuple[str, str]]
    total: int
    note: str


def render_page(title: str, lead: str, warning: str, body: str) -> str:
    """Return a page. ``body`` is HTML, the other texts are plain."""
    texts = {"title": title, "lead": lead, "warning": warning}
    escaped = {name: html.escape(text) for name, text in texts.items()}
    return fill_template("page.html", **escaped, body=body)


def classification_section(classes: Mapping[str, Any], plots: Mapping[str, str]) -> str:
    """Return the section on classification.

    ``classes`` is from `models.evaluation.detailed_metrics.classification_metrics`, ``plots`` from
    `plots.classification_plots`.
    """
    keys = ("precision", "recall", "f1", "roc_auc", "pr_auc")
    rows = [
        [name, str(metrics["support"]), *(format_number(metrics[key]) for key in keys)]
        for name, metrics in classes["by_class"].items()
    ]
    header = ["Class", "Images", "Precision", "Recall", "F1", "ROC-AUC", "PR-AUC"]
    averages = ("weighted_precision", "weighted_recall", "weighted_f1", "gmean", "kappa")
    return fill_template(
        "classes.html",
        by_class=html_table(header, rows),
        other=metrics_table({key: classes[key] for key in averages}),
        aurc=format_number(classes["risk_coverage"]["aurc"]),
        ece=format_number(classes["ece"]),
        **{f"plot_{name}": svg for name, svg in plots.items()},
    )


def errors_section(gallery: Gallery) -> str:
    """Return the section that shows errors."""
    figures = []
    for caption, url in gallery.tiles:
        text = html.escape(caption)
        figures.append(
            f'<figure><img src="{url}" alt="{text}"><figcaption>{text}</figcaption></figure>'
        )
    title = f"The worst {len(figures)} of {gallery.total} errors" if figures else "Errors"
    note = html.escape(gallery.note if figures else "There are none.")
    return fill_template("errors.html", title=title, note=note, gallery="".join(figures))


def fill_template(name: str, **parts: str | int) -> str:
    """Fill the placeholders of a template with HTML."""
    return Template((_TEMPLATES / name).read_text(encoding="utf-8")).substitute(parts)


def metrics_table(
    values: Mapping[str, float | None], titles: Mapping[str, str] | None = None
) -> str:
    """Return a table of metrics; names without a title are shown with spaces."""
    rows = [
        [(titles or {}).get(name, name.replace("_", " ")), format_number(value)]
        for name, value in values.items()
    ]
    return html_table(["Metric", "Value"], rows)


def html_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table of plain texts; the first cell of each row is its header."""
    top = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in header)
    body = "".join(
        f'<tr><th scope="row">{html.escape(first)}</th>'
        + "".join(f"<td>{html.escape(cell)}</td>" for cell in rest)
        + "</tr>"
        for first, *rest in rows
    )
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def html_figure(svg: str, caption: str) -> str:
    """Return a plot with a plain caption."""
    return f"<figure>{svg}<figcaption>{html.escape(caption)}</figcaption></figure>"


def format_number(value: float | None, digits: int = 3) -> str:
    """Format a number with fixed digits; None and NaN become a dash."""
    return "–" if value is None or value != value else f"{value:.{digits}f}"  # noqa: PLR0124  # NaN
