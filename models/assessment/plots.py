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

from models.assessment.judged import Judged, labels_of, probabilities_of
from models.types import CLASSES, FramePrediction

COLOURS: Mapping[str, str] = {"normal": "#3b7a57", "benign": "#2f6db3", "malignant": "#b3392f"}
_STYLE: Any = {  # matplotlib types its 300 keys one by one
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.hashsalt": "sonogate",
    "svg.fonttype": "none",
}
_TILE_PX = 240


def roc(rows: Sequence[Judged]) -> str:
    """ROC curves, each class against the rest."""
    axes = axes_of("1 - specificity", "sensitivity")
    labels, probabilities = labels_of(rows), probabilities_of(rows)
    for k, name in enumerate(CLASSES):
        if 0 < (labels == k).sum() < len(labels):
            false_alarms, recall, _ = metrics.roc_curve(labels == k, probabilities[:, k])
            axes.plot(false_alarms, recall, color=COLOURS[name], label=name)
    axes.plot([0, 1], [0, 1], color="#999", linewidth=0.8, linestyle=":")
    axes.legend(frameon=False, loc="lower right")
    return svg_of(axes)


def precision_recall(rows: Sequence[Judged]) -> str:
    """Precision over recall, each class against the rest."""
    axes = axes_of("recall", "precision")
    labels, probabilities = labels_of(rows), probabilities_of(rows)
    for k, name in enumerate(CLASSES):
        if (labels == k).any():
            precision, recall, _ = metrics.precision_recall_curve(labels == k, probabilities[:, k])
            axes.plot(recall, precision, color=COLOURS[name], label=name)
    axes.legend(frameon=False, loc="lower left")
    return svg_of(axes)


def reliability(rows: Sequence[Judged], *, bins: int = 10) -> str:
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


def risk_coverage(curve: Mapping[str, Any], abstain_below: float) -> str:
    """Error among those answered over the share answered, with the preset's own choice."""
    axes = axes_of("share of images answered", "wrong among them")
    coverage, risk = np.array(curve["coverage"]), np.array(curve["risk"])
    axes.plot(coverage, risk, color="#2f6db3")
    axes.set_ylim(0, max(0.3, float(risk.max()) * 1.1))
    answered = np.flatnonzero(np.array(curve["confidence"]) >= abstain_below)
    if abstain_below and len(answered):
        axes.plot(coverage[answered[-1]], risk[answered[-1]], "o", color="#b3392f")
        axes.annotate(
            f"undecided below {abstain_below:.2f}",
            (coverage[answered[-1]], risk[answered[-1]]),
            textcoords="offset points",
            xytext=(-10, 10),
            ha="right",
        )
    return svg_of(axes)


def confusion(table: Sequence[Sequence[int]]) -> str:
    """Truth in rows, answers in columns."""
    axes = axes_of("answer", "truth")
    counts = np.array(table)
    axes.imshow(
        counts / np.maximum(counts.sum(1, keepdims=True), 1), cmap="Blues", vmin=0, vmax=1.2
    )
    for (row, column), count in np.ndenumerate(counts):
        axes.text(column, row, str(count), ha="center", va="center", fontsize=13)
    axes.set_xlim(-0.5, 2.5)
    axes.set_ylim(2.5, -0.5)
    axes.set_xticks(range(3), CLASSES)
    axes.set_yticks(range(3), CLASSES, rotation=90, va="center")
    return svg_of(axes)


def losses(values: Sequence[float]) -> str:
    """Training loss, epoch by epoch."""
    axes = axes_of("epoch", "training loss")
    axes.plot(range(1, len(values) + 1), values, color="#2f6db3")
    axes.set_xlim(1, max(2, len(values)))
    axes.set_ylim(0, max(values) * 1.05)
    return svg_of(axes)


def tile(pixels: NDArray[np.uint8], lesion: NDArray[np.bool_], prediction: FramePrediction) -> str:
    """A frame beside its heat map; truth outlined green, what was found red. A PNG as data URL."""
    plain = np.repeat(pixels[..., None], 3, axis=2)
    colours = np.asarray(mpl.colormaps["inferno"](prediction.heatmap)[..., :3] * 255)
    warm = (0.6 * plain + 0.4 * colours).astype(np.uint8)
    for picture in (plain, warm):
        for mask, colour in ((lesion, (70, 220, 120)), (prediction.mask, (255, 80, 70))):
            picture[_outline(mask)] = colour
    both = Image.fromarray(np.hstack([plain, warm]))
    both.thumbnail((2 * _TILE_PX, _TILE_PX))
    buffer = io.BytesIO()
    both.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


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
