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

from models.assessment.plots import COLORS, axes_of, svg_of
from models.training.dataset import DataSet, LeftOut, Sample
from models.training.pictures import read_gray

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


_Parts = Mapping[str, list[Seen]]
"""By class, in the order of classes."""


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
    """Count thin, nearly white marks that tissue does not make: calipers, letters, markers.

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


def summary(data: DataSet, seen: Sequence[Seen]) -> dict[str, Any]:
    """Counts and means by class, folds, near-duplicates, what is left out; plain values."""
    groups = Counter(each.sample.duplicate_group for each in seen)
    return {
        "images": len(seen),
        "classes": {name: _of_class(part) for name, part in _by_class(data, seen).items()},
        "empty_classes": data.empty_classes,
        "without_outline": sum(not x.sample.outlined for x in seen),
        "folds": {
            str(fold): dict(
                Counter(data.classes[x.sample.label] for x in seen if x.sample.fold == fold)
            )
            for fold in sorted({x.sample.fold for x in seen})
        },
        "groups": len(groups),
        "images_with_a_near_duplicate": sum(size for size in groups.values() if size > 1),
        "largest_group": max(groups.values(), default=0),
        "left_out": [
            {"image": _name(x.image), "class": x.label, "duplicate_group": x.duplicate_group}
            for x in _by_group(data.left_out)
        ],
    }


def render(data: DataSet, seen: Sequence[Seen], *, name: str) -> str:
    """The whole page of the data set of a name; it needs nothing else."""
    told, parts = summary(data, seen), _by_class(data, seen)
    with_lesion = {key: [x for x in part if x.lesion_share] for key, part in parts.items()}
    return Template(_PAGE.read_text(encoding="utf-8")).substitute(
        data=html.escape(name),
        images=told["images"],
        notices=html.escape(" ".join(data.notices())),
        classes=_class_table(told["classes"]),
        fold_head="".join(f'<th scope="col">{x.capitalize()}</th>' for x in data.classes),
        folds=_fold_table(told["folds"], data.classes),
        left_out=_left_out(data.left_out),
        groups=told["groups"],
        twins=told["images_with_a_near_duplicate"],
        largest=told["largest_group"],
        gallery=_gallery(seen),
        plot_sizes=_sizes(parts),
        plot_histograms=_histograms(parts),
        plot_means=_boxes(parts, "mean", "mean gray level"),
        plot_contrasts=_boxes(parts, "contrast", "standard deviation of gray"),
        plot_marks=_boxes(parts, "marks", "thin bright marks in an image"),
        plot_lesions=_boxes(with_lesion, "lesion_share", "lesion's share"),
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


def _by_class(data: DataSet, seen: Sequence[Seen]) -> _Parts:
    parts = {name: [x for x in seen if x.sample.label == k] for k, name in enumerate(data.classes)}
    return {name: part for name, part in parts.items() if part}


def _by_group(left_out: Iterable[LeftOut]) -> list[LeftOut]:
    """What contradicts each other side by side; what no list gives a group in the end."""
    return sorted(left_out, key=lambda x: (x.duplicate_group is None, x.duplicate_group or 0))


def _name(image: Path) -> str:
    return f"{image.parent.name}/{image.name}"


def _sizes(parts: _Parts) -> str:
    axes = axes_of("width, px", "height, px")
    for name, part in parts.items():
        across, up = [x.width_px for x in part], [x.height_px for x in part]
        axes.scatter(across, up, s=9, alpha=0.5, color=COLORS[name], label=name)
    axes.autoscale()
    axes.legend(frameon=False)
    return svg_of(axes)


def _histograms(parts: _Parts) -> str:
    axes = axes_of("gray level", "share of pixels")
    levels = (np.arange(_BINS) + 0.5) * 256 / _BINS
    for name, part in parts.items():
        mean = np.mean([x.histogram for x in part], axis=0)
        axes.plot(levels, mean, color=COLORS[name], label=name)
    axes.autoscale()
    axes.legend(frameon=False)
    return svg_of(axes)


def _boxes(parts: _Parts, field: str, title: str) -> str:
    axes: Axes = axes_of("", title)
    parts = {name: part for name, part in parts.items() if part}
    if parts:
        drawn = axes.boxplot(
            [[getattr(x, field) for x in part] for part in parts.values()],
            tick_labels=list(parts),
            patch_artist=True,
            flierprops={"markersize": 3},
            medianprops={"color": "#1d2329"},
        )
        for box, name in zip(drawn["boxes"], parts, strict=True):
            box.set(facecolor=COLORS[name], alpha=0.6)
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


def _fold_table(folds: Mapping[str, Mapping[str, int]], classes: Sequence[str]) -> str:
    return "".join(
        f'<tr><th scope="row">{fold}</th>'
        + "".join(f"<td>{counts.get(name, 0)}</td>" for name in classes)
        + f"<td>{sum(counts.values())}</td></tr>"
        for fold, counts in folds.items()
    )


def _gallery(seen: Sequence[Seen]) -> str:
    groups: dict[int, list[Sample]] = defaultdict(list)
    for each in seen:
        groups[each.sample.duplicate_group].append(each.sample)
    largest = sorted((x for x in groups.values() if len(x) > 1), key=len, reverse=True)
    return "".join(
        _row([(x.image, x.image.stem) for x in group]) for group in largest[:_SHOWN_GROUPS]
    )


def _left_out(left_out: Sequence[LeftOut]) -> str:
    """Each image by name, and the first groups of them to be looked at."""
    if not left_out:
        return "<p>None.</p>"
    rows = "".join(
        f'<tr><th scope="row">{html.escape(_name(x.image))}</th><td>{html.escape(x.label)}</td>'
        f"<td>{'–' if x.duplicate_group is None else x.duplicate_group}</td></tr>"
        for x in _by_group(left_out)
    )
    head = "".join(f'<th scope="col">{x}</th>' for x in ("Image", "Labeled", "Group"))
    groups: dict[int, list[tuple[Path, str]]] = defaultdict(list)
    for x in left_out:
        if x.duplicate_group is not None and x.image.is_file():
            groups[x.duplicate_group].append((x.image, f"{x.image.stem}: {x.label}"))
    shown = "".join(_row(group) for group in list(groups.values())[:_SHOWN_GROUPS])
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{shown}"


def _row(group: Sequence[tuple[Path, str]]) -> str:
    """Images side by side, each with a caption."""
    tiles = "".join(
        f'<figure><img src="{_thumbnail(image)}" alt=""><figcaption>{html.escape(caption)}'
        "</figcaption></figure>"
        for image, caption in group[:8]
    )
    return f'<div class="group">{tiles}</div>'


def _thumbnail(file: Path) -> str:
    small = Image.fromarray(read_gray(file))
    small.thumbnail((_THUMBNAIL_PX, _THUMBNAIL_PX))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
