"""Plots of a report as SVG or PNG that a page can hold within itself."""

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from sklearn import metrics

from dicom.terms.classification import BENIGN, CLASSES, MALIGNANT, NORMAL
from models.assessment.judged import labels_of, probabilities_of
from models.training.calibration import Judged as Answered

COLORS: Mapping[str, str] = {NORMAL: "#3b7a57", BENIGN: "#2f6db3", MALIGNANT: "#b3392f"}
_STYLE: Any = {  # matplotlib types its 300 keys one by one
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.hashsalt": "sonogate",
    "svg.fonttype": "none",
}
_TILE_PX = 240


def of_classes(
    rows: Sequence[Answered],
    figures: Mapping[str, Any],
    *,
    confidence_threshold: float,
    classes: Sequence[str] = CLASSES,
) -> dict[str, str]:
    """All plots of a page's section on classes; what `figures.classification` gave beside them."""
    return {
        "confusion": confusion(figures["confusion"], classes),
        "roc": roc(rows, classes),
        "precision_recall": precision_recall(rows, classes),
        "reliability": reliability(rows),
        "risk_coverage": risk_coverage(figures["risk_coverage"], confidence_threshold),
    }


def roc(rows: Sequence[Answered], classes: Sequence[str] = CLASSES) -> str:
    """ROC curves, each class against the rest."""
    axes = axes_of("1 - specificity", "sensitivity")
    labels, probabilities = labels_of(rows), probabilities_of(rows)
    for k, name in enumerate(classes):
        if 0 < (labels == k).sum() < len(labels):
            false_alarms, recall, _ = metrics.roc_curve(labels == k, probabilities[:, k])
            axes.plot(false_alarms, recall, color=COLORS.get(name), label=name)
    axes.plot([0, 1], [0, 1], color="#999", linewidth=0.8, linestyle=":")
    axes.legend(frameon=False, loc="lower right")
    return svg_of(axes)


def precision_recall(rows: Sequence[Answered], classes: Sequence[str] = CLASSES) -> str:
    """Precision over recall, each class against the rest."""
    axes = axes_of("recall", "precision")
    labels, probabilities = labels_of(rows), probabilities_of(rows)
    for k, name in enumerate(classes):
        if (labels == k).any():
            precision, recall, _ = metrics.precision_recall_curve(labels == k, probabilities[:, k])
            axes.plot(recall, precision, color=COLORS.get(name), label=name)
    axes.legend(frameon=False, loc="lower left")
    return svg_of(axes)


def reliability(rows: Sequence[Answered], *, bins: int = 10) -> str:
    """How often the answer was right, by how sure it was; the diagonal is honest."""
    axes = axes_of("confidence", "share of right answers")
    probabilities = probabilities_of(rows)
    confidence = probabilities.max(1)
    right = probabilities.argmax(1) == labels_of(rows)
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    for k in np.unique(bin_of):
        inside = bin_of == k
        axes.bar((k + 0.5) / bins, right[inside].mean(), 0.9 / bins, color="#2f6db3", alpha=0.75)
        axes.text((k + 0.5) / bins, 0.02, str(inside.sum()), ha="center", fontsize=8, color="white")
    axes.plot([0, 1], [0, 1], color="#999", linewidth=0.8, linestyle=":")
    return svg_of(axes)


def risk_coverage(curve: Mapping[str, Any], confidence_threshold: float) -> str:
    """Error among those answered over the share answered, with the preset's own choice."""
    axes = axes_of("share of images answered", "wrong among them")
    coverage, risk = np.array(curve["coverage"]), np.array(curve["risk"])
    axes.plot(coverage, risk, color="#2f6db3")
    axes.set_ylim(0, max(0.3, float(risk.max()) * 1.1))
    answered = np.flatnonzero(np.array(curve["confidence"]) >= confidence_threshold)
    if confidence_threshold and len(answered):
        axes.plot(coverage[answered[-1]], risk[answered[-1]], "o", color="#b3392f")
        axes.annotate(
            f"undecided below {confidence_threshold:.2f}",
            (coverage[answered[-1]], risk[answered[-1]]),
            textcoords="offset points",
            xytext=(-10, 10),
            ha="right",
        )
    return svg_of(axes)


def confusion(table: Sequence[Sequence[int]], classes: Sequence[str] = CLASSES) -> str:
    """Truth in rows, answers in columns."""
    axes = axes_of("answer", "truth")
    counts = np.array(table)
    axes.imshow(
        counts / np.maximum(counts.sum(1, keepdims=True), 1), cmap="Blues", vmin=0, vmax=1.2
    )
    for (row, column), count in np.ndenumerate(counts):
        axes.text(column, row, str(count), ha="center", va="center", fontsize=13)
    axes.set_xlim(-0.5, len(classes) - 0.5)
    axes.set_ylim(len(classes) - 0.5, -0.5)
    axes.set_xticks(range(len(classes)), classes)
    axes.set_yticks(range(len(classes)), classes, rotation=90, va="center")
    return svg_of(axes)


def losses(curves: Mapping[str, Sequence[float]]) -> str:
    """Loss epoch by epoch, a line for each of ``curves``, named if there are several."""
    axes = axes_of("epoch", "loss")
    for name, values in curves.items():
        # A single epoch is a point: a line would not show it.
        axes.plot(range(1, len(values) + 1), values, "." if len(values) == 1 else "-", label=name)
    axes.set_xlim(0.9, max(2, *map(len, curves.values())))
    finite = [x for values in curves.values() for x in values if np.isfinite(x)]
    axes.set_ylim(0, max(finite, default=1) * 1.05)
    if len(curves) > 1:
        axes.legend(frameon=False)
    return svg_of(axes)


def tile(
    pixels: NDArray[np.uint8],
    lesion: NDArray[np.bool_],
    outlined: NDArray[np.bool_] | None = None,
    heatmap: NDArray[np.float32] | None = None,
) -> str:
    """A frame ``(h, w, 3)`` and beside it its heat map ``(h, w)``, not negative: a PNG as data URL.

    The lesion's edge is green, that of what a network outlined red.
    """
    pictures = [pixels.copy()] if heatmap is None else [pixels.copy(), _warmed(pixels, heatmap)]
    for picture in pictures:
        for mask, color in ((lesion, (70, 220, 120)), (outlined, (255, 80, 70))):
            if mask is not None:
                picture[_outline(mask)] = color
    both = Image.fromarray(np.hstack(pictures))
    both.thumbnail((2 * _TILE_PX, _TILE_PX))
    buffer = io.BytesIO()
    both.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _warmed(pixels: NDArray[np.uint8], heatmap: NDArray[np.float32]) -> NDArray[np.uint8]:
    heat = heatmap / (heatmap.max() or 1)
    colors = np.asarray(mpl.colormaps["inferno"](heat)[..., :3] * 255)
    warm: NDArray[np.uint8] = (0.6 * pixels + 0.4 * colors).astype(np.uint8)
    return warm


def _outline(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    width = max(1, round(max(mask.shape) / 250))
    edge: NDArray[np.bool_] = mask ^ ndimage.binary_erosion(mask, iterations=width)
    return edge


def axes_of(across: str, up: str) -> Axes:
    """One small plot from 0 to 1 both ways, in the style of all."""
    with mpl.rc_context(_STYLE):
        axes: Axes = Figure(figsize=(4.2, 3.4), layout="constrained").subplots()
        axes.set(xlabel=across, ylabel=up, xlim=(0, 1), ylim=(0, 1.02))
    return axes


def svg_of(axes: Axes) -> str:
    """A plot as SVG text to stand in a page, the same each time."""
    buffer = io.StringIO()
    figure = axes.get_figure()
    assert isinstance(figure, Figure)
    with mpl.rc_context(_STYLE):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]
