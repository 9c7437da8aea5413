"""What a data set holds, before anything is trained on it: counts, sizes, brightness, shortcuts."""

import base64
import html
import io
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from models.assessment.plots import COLOURS, axes_of, svg_of
from models.training.dataset import Sample
from models.types import CLASSES

_PAGE = Path(__file__).with_name("inspection.html")
_BINS = 32
_SHOWN_GROUPS = 8
_THUMBNAIL_PX = 150


@dataclass(frozen=True)
class Seen:
    """One image. ``histogram``: shares of ``_BINS`` levels; ``lesion_share`` 0 without a lesion.

    ``marks``: how many small bright crosses, letters or dots stand out from all that is near.
    """

    sample: Sample
    height_px: int
    width_px: int
    mean: float
    contrast: float
    lesion_share: float
    marks: int
    histogram: NDArray[np.float64]


def look(samples: Iterable[Sample]) -> Iterator[Seen]:
    """Read one image after another. Raises `models.types.DatasetError`."""
    for sample in samples:
        pixels, lesion = sample.read()
        shares = np.histogram(pixels, _BINS, (0, 256))[0] / pixels.size
        yield Seen(
            sample,
            pixels.shape[0],
            pixels.shape[1],
            float(pixels.mean()),
            float(pixels.std()),
            float(lesion.mean()),
            burned_in_marks(pixels),
            shares,
        )


def burned_in_marks(pixels: NDArray[np.uint8]) -> int:
    """Count thin, nearly white marks that tissue does not make: callipers, letters, markers.

    A mark is thinner than 7 pixels, brighter than 200 and by 90 brighter than what it lies on.
    Specular lines of tissue are longer than 40 pixels and do not count; some short ones do.
    """
    bright = (ndimage.white_tophat(pixels, size=(7, 7)) > 90) & (pixels > 200)
    patches, count = ndimage.label(bright, np.ones((3, 3)))
    spans = ndimage.find_objects(patches)
    areas = np.bincount(patches.ravel(), minlength=count + 1)[1:]
    return sum(
        area >= 4 and max(part.stop - part.start for part in span) <= 40
        for span, area in zip(spans, areas, strict=True)
    )


def summary(seen: Sequence[Seen]) -> dict[str, Any]:
    """Counts and means by class, folds, near-duplicates; plain values."""
    groups = Counter(each.sample.duplicate_group for each in seen)
    return {
        "images": len(seen),
        "classes": {name: _of_class(part) for name, part in _by_class(seen).items()},
        "folds": {
            str(fold): dict(Counter(CLASSES[x.sample.label] for x in seen if x.sample.fold == fold))
            for fold in sorted({x.sample.fold for x in seen})
        },
        "groups": len(groups),
        "images_with_a_near_duplicate": sum(size for size in groups.values() if size > 1),
        "largest_group": max(groups.values(), default=0),
    }


def render(seen: Sequence[Seen], *, data: str) -> str:
    """The whole page; it needs nothing else."""
    told = summary(seen)
    return Template(_PAGE.read_text(encoding="utf-8")).substitute(
        data=html.escape(data),
        images=told["images"],
        classes=_class_table(told["classes"]),
        folds=_fold_table(told["folds"]),
        groups=told["groups"],
        twins=told["images_with_a_near_duplicate"],
        largest=told["largest_group"],
        gallery=_gallery(seen),
        plot_sizes=_sizes(seen),
        plot_histograms=_histograms(seen),
        plot_means=_boxes(seen, "mean", "mean gray level"),
        plot_contrasts=_boxes(seen, "contrast", "standard deviation of gray"),
        plot_marks=_boxes(seen, "marks", "thin bright marks in an image"),
        plot_lesions=_boxes([x for x in seen if x.lesion_share], "lesion_share", "lesion's share"),
    )


def _of_class(part: Sequence[Seen]) -> dict[str, float]:
    return {
        "images": len(part),
        "with_lesion": sum(x.lesion_share > 0 for x in part),
        "median_width_px": float(np.median([x.width_px for x in part])),
        "median_height_px": float(np.median([x.height_px for x in part])),
        "mean_gray": float(np.mean([x.mean for x in part])),
        "share_with_marks": float(np.mean([x.marks >= 3 for x in part])),
    }


def _by_class(seen: Sequence[Seen]) -> dict[str, list[Seen]]:
    parts = {name: [x for x in seen if x.sample.label == k] for k, name in enumerate(CLASSES)}
    return {name: part for name, part in parts.items() if part}


def _sizes(seen: Sequence[Seen]) -> str:
    axes = axes_of("width, px", "height, px")
    for name, part in _by_class(seen).items():
        across, up = [x.width_px for x in part], [x.height_px for x in part]
        axes.scatter(across, up, s=9, alpha=0.5, color=COLOURS[name], label=name)
    axes.autoscale()
    axes.legend(frameon=False)
    return svg_of(axes)


def _histograms(seen: Sequence[Seen]) -> str:
    axes = axes_of("gray level", "share of pixels")
    levels = (np.arange(_BINS) + 0.5) * 256 / _BINS
    for name, part in _by_class(seen).items():
        mean = np.mean([x.histogram for x in part], axis=0)
        axes.plot(levels, mean, color=COLOURS[name], label=name)
    axes.autoscale()
    axes.legend(frameon=False)
    return svg_of(axes)


def _boxes(seen: Sequence[Seen], field: str, title: str) -> str:
    axes: Axes = axes_of("", title)
    parts = _by_class(seen)
    if parts:
        drawn = axes.boxplot(
            [[getattr(x, field) for x in part] for part in parts.values()],
            tick_labels=list(parts),
            patch_artist=True,
            flierprops={"markersize": 3},
            medianprops={"color": "#1d2329"},
        )
        for box, name in zip(drawn["boxes"], parts, strict=True):
            box.set(facecolor=COLOURS[name], alpha=0.6)
    axes.autoscale()
    return svg_of(axes)


def _class_table(classes: Mapping[str, Mapping[str, float]]) -> str:
    rows = [
        f'<tr><th scope="row">{name}</th><td>{x["images"]:.0f}</td><td>{x["with_lesion"]:.0f}</td>'
        f"<td>{x['median_width_px']:.0f} × {x['median_height_px']:.0f}</td>"
        f"<td>{x['mean_gray']:.0f}</td><td>{x['share_with_marks']:.0%}</td></tr>"
        for name, x in classes.items()
    ]
    return "".join(rows)


def _fold_table(folds: Mapping[str, Mapping[str, int]]) -> str:
    return "".join(
        f'<tr><th scope="row">{fold}</th>'
        + "".join(f"<td>{counts.get(name, 0)}</td>" for name in CLASSES)
        + f"<td>{sum(counts.values())}</td></tr>"
        for fold, counts in folds.items()
    )


def _gallery(seen: Sequence[Seen]) -> str:
    groups: dict[int, list[Sample]] = defaultdict(list)
    for each in seen:
        groups[each.sample.duplicate_group].append(each.sample)
    largest = sorted((x for x in groups.values() if len(x) > 1), key=len, reverse=True)
    return "".join(_row(group) for group in largest[:_SHOWN_GROUPS])


def _row(group: Sequence[Sample]) -> str:
    tiles = "".join(
        f'<figure><img src="{_thumbnail(x.image)}" alt=""><figcaption>{html.escape(x.image.stem)}'
        "</figcaption></figure>"
        for x in group[:8]
    )
    return f'<div class="group">{tiles}</div>'


def _thumbnail(file: Path) -> str:
    with Image.open(file) as image:
        small = image.convert("L")
        small.thumbnail((_THUMBNAIL_PX, _THUMBNAIL_PX))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
