"""Plots of reports, as SVG or PNG to be embedded in a page."""

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
from models.evaluation.calibration import LabeledPrediction, class_probabilities, true_labels

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


def classification_plots(
    predictions: Sequence[LabeledPrediction],
    class_metrics: Mapping[str, Any],
    *,
    confidence_threshold: float,
    classes: Sequence[str] = CLASSES,
) -> dict[str, str]:
    """Return the plots of `page.classification_section` by name.

    ``class_metrics`` is from `models.evaluation.detailed_metrics.classification_metrics`.
    """
    return {
        "confusion": plot_confusion(class_metrics["confusion"], classes),
        "roc": plot_roc(predictions, classes),
        "precision_recall": plot_precision_recall(predictions, classes),
        "reliability": plot_reliability(predictions),
        "risk_coverage": plot_risk_coverage(class_metrics["risk_coverage"], confidence_threshold),
    }


def plot_roc(predictions: Sequence[LabeledPrediction], classes: Sequence[str] = CLASSES) -> str:
    """Plot ROC curves, each class versus the rest."""
    axes = new_axes("1 - specificity", "sensitivity")
    labels, probabilities = true_labels(predictions), class_probabilities(predictions)
    for k, name in enumerate(classes):
        if 0 < (labels == k).sum() < len(labels):
            false_positive_rate, recall, _ = metrics.roc_curve(labels == k, probabilities[:, k])
            axes.plot(false_positive_rate, recall, color=COLORS.get(name), label=name)
    axes.plot([0, 1], [0, 1], color="#999", linewidth=0.8, linestyle=":")
    axes.legend(frameon=False, loc="lower right")
    return to_svg(axes)


def plot_precision_recall(
    predictions: Sequence[LabeledPrediction], classes: Sequence[str] = CLASSES
) -> str:
    """Plot precision-recall curves, each class versus the rest."""
    axes = new_axes("recall", "precision")
    labels, probabilities = true_labels(predictions), class_probabilities(predictions)
    for k, name in enumerate(classes):
        if (labels == k).any():
            precision, recall, _ = metrics.precision_recall_curve(labels == k, probabilities[:, k])
            axes.plot(recall, precision, color=COLORS.get(name), label=name)
    axes.legend(frameon=False, loc="lower left")
    return to_svg(axes)


def plot_reliability(predictions: Sequence[LabeledPrediction]) -> str:
    """Plot a reliability diagram: accuracy in ten bins of confidence."""
    axes, bins = new_axes("confidence", "accuracy"), 10
    probabilities = class_probabilities(predictions)
    confidence = probabilities.max(1)
    correct = probabilities.argmax(1) == true_labels(predictions)
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    for k in np.unique(bin_of):
        inside, center = bin_of == k, (k + 0.5) / bins
        axes.bar(center, correct[inside].mean(), 0.9 / bins, color="#2f6db3", alpha=0.75)
        axes.text(center, 0.02, str(inside.sum()), ha="center", fontsize=8, color="white")
    axes.plot([0, 1], [0, 1], color="#999", linewidth=0.8, linestyle=":")
    return to_svg(axes)


def plot_risk_coverage(curve: Mapping[str, Any], confidence_threshold: float) -> str:
    """Plot error rate by coverage, and mark the confidence threshold.

    ``curve`` is from `models.evaluation.detailed_metrics.risk_coverage`.
    """
    axes = new_axes("coverage", "error rate")
    coverage, risk = np.array(curve["coverage"]), np.array(curve["risk"])
    axes.plot(coverage, risk, color="#2f6db3")
    axes.set_ylim(0, max(0.3, float(risk.max()) * 1.1))
    decided = np.flatnonzero(np.array(curve["confidence"]) >= confidence_threshold)
    if confidence_threshold and len(decided):
        point = (coverage[decided[-1]], risk[decided[-1]])
        axes.plot(*point, "o", color="#b3392f")
        axes.annotate(
            f"undecided below {confidence_threshold:.2f}",
            point,
            textcoords="offset points",
            xytext=(-10, 10),
            ha="right",
        )
    return to_svg(axes)


def plot_confusion(table: Sequence[Sequence[int]], classes: Sequence[str] = CLASSES) -> str:
    """Plot a confusion matrix: true classes in rows, predicted classes in columns."""
    axes = new_axes("predicted class", "true class")
    counts = np.array(table)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1.2)
    for (row, column), count in np.ndenumerate(counts):
        axes.text(column, row, str(count), ha="center", va="center", fontsize=13)
    axes.set_xlim(-0.5, len(classes) - 0.5)
    axes.set_ylim(len(classes) - 0.5, -0.5)
    axes.set_xticks(range(len(classes)), classes)
    axes.set_yticks(range(len(classes)), classes, rotation=90, va="center")
    return to_svg(axes)


def plot_losses(curves: Mapping[str, Sequence[float]]) -> str:
    """Plot losses by epoch, with a legend if there are several curves."""
    axes = new_axes("epoch", "loss")
    for name, values in curves.items():
        style = "." if len(values) == 1 else "-"  # a line of one point is invisible
        axes.plot(range(1, len(values) + 1), values, style, label=name)
    axes.set_xlim(0.9, max(2, *map(len, curves.values())))
    finite = [x for values in curves.values() for x in values if np.isfinite(x)]
    axes.set_ylim(0, max(finite, default=1) * 1.05)
    if len(curves) > 1:
        axes.legend(frameon=False)
    return to_svg(axes)


def render_tile(
    pixels: NDArray[np.uint8],
    lesion: NDArray[np.bool_],
    predicted: NDArray[np.bool_] | None = None,
    heatmap: NDArray[np.float32] | None = None,
) -> str:
    """Draw a frame ``(h, w, 3)``, and next to it the heat map ``(h, w)``, as a PNG data URL.

    The annotated outline is green, the predicted one red. The heat map is non-negative.
    """
    images = [pixels.copy()]
    if heatmap is not None:
        colors = mpl.colormaps["inferno"](heatmap / (heatmap.max() or 1))[..., :3] * 255
        images.append((0.6 * pixels + 0.4 * np.asarray(colors)).astype(np.uint8))
    for image in images:
        for mask, color in ((lesion, (70, 220, 120)), (predicted, (255, 80, 70))):
            if mask is not None:
                width_px = max(1, round(max(mask.shape) / 250))
                image[mask ^ ndimage.binary_erosion(mask, iterations=width_px)] = color
    tile = Image.fromarray(np.hstack(images))
    tile.thumbnail((2 * _TILE_PX, _TILE_PX))
    buffer = io.BytesIO()
    tile.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def new_axes(x_label: str, y_label: str) -> Axes:
    """Create a small plot with both axes from 0 to 1."""
    with mpl.rc_context(_STYLE):
        axes: Axes = Figure(figsize=(4.2, 3.4), layout="constrained").subplots()
        axes.set(xlabel=x_label, ylabel=y_label, xlim=(0, 1), ylim=(0, 1.02))
    return axes


def to_svg(axes: Axes) -> str:
    """Return a plot as SVG; the same plot always gives the same text."""
    buffer = io.StringIO()
    figure = axes.get_figure()
    assert isinstance(figure, Figure)
    with mpl.rc_context(_STYLE):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]
