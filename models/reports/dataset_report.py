"""The report of a dataset: classes, sizes, gray levels, burned-in marks, near-duplicates, folds."""

import base64
import html
import io
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from models.data.dataset import Dataset, ExcludedImage, Sample
from models.data.images import read_gray
from models.reports.page import fill_template, html_table
from models.reports.plots import COLORS, new_axes, to_svg

_BINS = 32
_MAX_GROUPS = 8
_MAX_IMAGES_PER_GROUP = 8
_MIN_MARKS = 3
_THUMBNAIL_PX = 150
_CLASS_HEADER = (
    *("Class", "Images", "With a lesion mask", "Median size (px)", "Mean gray level"),
    "With bright marks",
)


@dataclass(frozen=True)
class ImageStatistics:
    """Statistics of one image.

    ``contrast`` is the standard deviation of gray levels, ``lesion_share`` the share of pixels
    inside a lesion, ``marks`` the result of `count_burned_in_marks`, and ``histogram`` the share of
    pixels in each of 32 gray level bins.
    """

    sample: Sample
    height_px: int
    width_px: int
    mean: float
    contrast: float
    lesion_share: float
    marks: int
    histogram: NDArray[np.float64]


_ByClass = Mapping[str, list[ImageStatistics]]


def measure_images(samples: Iterable[Sample]) -> Iterator[ImageStatistics]:
    """Read images one at a time. Raises `models.types.DatasetError`."""
    for sample in samples:
        pixels, lesion = sample.read()
        height, width = pixels.shape
        yield ImageStatistics(
            sample,
            height,
            width,
            float(pixels.mean()),
            float(pixels.std()),
            float(lesion.mean()),
            count_burned_in_marks(pixels),
            np.histogram(pixels, _BINS, (0, 256))[0] / pixels.size,
        )


def count_burned_in_marks(pixels: NDArray[np.uint8]) -> int:
    """Count thin, nearly white marks such as calipers, letters and arrows.

    A mark is thinner than 7 pixels, brighter than 200, and brighter than its surroundings by 90.
    Marks longer than 40 pixels are taken for specular reflections of tissue and are not counted.
    """
    bright = (ndimage.white_tophat(pixels, size=(7, 7)) > 90) & (pixels > 200)
    patches, count = ndimage.label(bright, np.ones((3, 3)))
    areas = np.bincount(patches.ravel(), minlength=count + 1)[1:]
    lengths = [
        max(part.stop - part.start for part in slices) for slices in ndimage.find_objects(patches)
    ]
    return sum(area >= 4 and length <= 40 for area, length in zip(areas, lengths, strict=True))


def summarize_dataset(data: Dataset, images: Sequence[ImageStatistics]) -> dict[str, Any]:
    """Return statistics per class, folds, near-duplicates and excluded images as plain values."""
    group_sizes = Counter(image.sample.duplicate_group for image in images)
    classes = {
        name: {
            "images": len(part),
            "with_lesion": sum(x.lesion_share > 0 for x in part),
            "median_width_px": float(np.median([x.width_px for x in part])),
            "median_height_px": float(np.median([x.height_px for x in part])),
            "mean_gray": float(np.mean([x.mean for x in part])),
            "share_with_marks": float(np.mean([x.marks >= _MIN_MARKS for x in part])),
        }
        for name, part in _by_class(data, images).items()
    }
    folds: dict[str, Counter[str]] = defaultdict(Counter)
    for image in sorted(images, key=lambda x: x.sample.fold):
        folds[str(image.sample.fold)][data.classes[image.sample.label]] += 1
    return {
        "images": len(images),
        "classes": classes,
        "empty_classes": data.empty_classes,
        "not_annotated": sum(not x.sample.annotated for x in images),
        "folds": {fold: dict(counts) for fold, counts in folds.items()},
        "groups": len(group_sizes),
        "images_with_a_near_duplicate": sum(size for size in group_sizes.values() if size > 1),
        "largest_group": max(group_sizes.values(), default=0),
        "excluded": [
            {"image": _name(x.image), "class": x.label, "duplicate_group": x.duplicate_group}
            for x in _sort_by_group(data.excluded)
        ],
    }


def render_dataset_report(data: Dataset, images: Sequence[ImageStatistics], *, name: str) -> str:
    """Return the page of the dataset ``name``."""
    summary, by_class = summarize_dataset(data, images), _by_class(data, images)
    with_lesion = {key: [x for x in part if x.lesion_share] for key, part in by_class.items()}
    class_rows = [
        [
            class_name,
            str(x["images"]),
            str(x["with_lesion"]),
            f"{x['median_width_px']:.0f} × {x['median_height_px']:.0f}",
            f"{x['mean_gray']:.0f}",
            f"{x['share_with_marks']:.0%}",
        ]
        for class_name, x in summary["classes"].items()
    ]
    fold_rows = [
        [fold, *(str(counts.get(x, 0)) for x in data.classes), str(sum(counts.values()))]
        for fold, counts in summary["folds"].items()
    ]
    return fill_template(
        "dataset.html",
        data=html.escape(name),
        images=summary["images"],
        notices=html.escape(" ".join(data.notices())),
        classes=html_table(_CLASS_HEADER, class_rows),
        folds=html_table(["Fold", *(x.capitalize() for x in data.classes), "All"], fold_rows),
        excluded=_excluded_section(data.excluded),
        groups=summary["groups"],
        with_duplicate=summary["images_with_a_near_duplicate"],
        largest=summary["largest_group"],
        gallery=_duplicates_gallery(images),
        plot_sizes=_plot_sizes(by_class),
        plot_histograms=_plot_histograms(by_class),
        plot_means=_plot_boxes(by_class, "mean", "mean gray level"),
        plot_contrasts=_plot_boxes(by_class, "contrast", "standard deviation of gray levels"),
        plot_marks=_plot_boxes(by_class, "marks", "bright marks per image"),
        plot_lesions=_plot_boxes(with_lesion, "lesion_share", "lesion, share of the image"),
    )


def _by_class(data: Dataset, images: Sequence[ImageStatistics]) -> _ByClass:
    by_class: dict[str, list[ImageStatistics]] = {name: [] for name in data.classes}
    for image in images:
        by_class[data.classes[image.sample.label]].append(image)
    return {name: part for name, part in by_class.items() if part}


def _sort_by_group(excluded: Iterable[ExcludedImage]) -> list[ExcludedImage]:
    """Sort so that contradicting images are adjacent; those without a group come last."""
    return sorted(excluded, key=lambda x: (x.duplicate_group is None, x.duplicate_group or 0))


def _name(image: Path) -> str:
    return f"{image.parent.name}/{image.name}"


def _duplicates_gallery(images: Sequence[ImageStatistics]) -> str:
    groups: dict[int, list[tuple[Path, str]]] = defaultdict(list)
    for image in images:
        file = image.sample.image
        groups[image.sample.duplicate_group].append((file, file.stem))
    duplicates = [group for group in groups.values() if len(group) > 1]
    largest = sorted(duplicates, key=len, reverse=True)[:_MAX_GROUPS]
    return "".join(_image_row(group) for group in largest)


def _excluded_section(excluded: Sequence[ExcludedImage]) -> str:
    """List all excluded images, and show the first groups."""
    if not excluded:
        return "<p>None.</p>"
    rows = [
        [_name(x.image), x.label, "–" if x.duplicate_group is None else str(x.duplicate_group)]
        for x in _sort_by_group(excluded)
    ]
    groups: dict[int, list[tuple[Path, str]]] = defaultdict(list)
    for x in excluded:
        if x.duplicate_group is not None and x.image.is_file():
            groups[x.duplicate_group].append((x.image, f"{x.image.stem}: {x.label}"))
    shown = "".join(_image_row(group) for group in list(groups.values())[:_MAX_GROUPS])
    return html_table(["Image", "Label", "Group"], rows) + shown


def _image_row(images: Sequence[tuple[Path, str]]) -> str:
    """Show images with captions side by side."""
    figures = []
    for file, caption in images[:_MAX_IMAGES_PER_GROUP]:
        thumbnail = Image.fromarray(read_gray(file))
        thumbnail.thumbnail((_THUMBNAIL_PX, _THUMBNAIL_PX))
        buffer = io.BytesIO()
        thumbnail.save(buffer, "JPEG", quality=80)
        url = "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
        text = html.escape(caption)
        figures.append(f'<figure><img src="{url}" alt=""><figcaption>{text}</figcaption></figure>')
    return f'<div class="group">{"".join(figures)}</div>'


def _plot_sizes(by_class: _ByClass) -> str:
    axes = new_axes("width (px)", "height (px)")
    for name, part in by_class.items():
        widths, heights = [x.width_px for x in part], [x.height_px for x in part]
        axes.scatter(widths, heights, s=9, alpha=0.5, color=COLORS[name], label=name)
    axes.autoscale()
    axes.legend(frameon=False)
    return to_svg(axes)


def _plot_histograms(by_class: _ByClass) -> str:
    axes = new_axes("gray level", "share of pixels")
    levels = (np.arange(_BINS) + 0.5) * 256 / _BINS
    for name, part in by_class.items():
        mean = np.mean([x.histogram for x in part], axis=0)
        axes.plot(levels, mean, color=COLORS[name], label=name)
    axes.autoscale()
    axes.legend(frameon=False)
    return to_svg(axes)


def _plot_boxes(by_class: _ByClass, field: str, title: str) -> str:
    axes = new_axes("", title)
    present = {name: part for name, part in by_class.items() if part}
    if present:
        drawn = axes.boxplot(
            [[getattr(x, field) for x in part] for part in present.values()],
            tick_labels=list(present),
            patch_artist=True,
            flierprops={"markersize": 3},
            medianprops={"color": "#1d2329"},
        )
        for box, name in zip(drawn["boxes"], present, strict=True):
            box.set(facecolor=COLORS[name], alpha=0.6)
    axes.autoscale()
    return to_svg(axes)
