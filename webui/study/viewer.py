"""Data of the viewer, sent to the browser as JSON, and the list of lesions."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from db.outlines import ReaderOutline
from db.schema import Analysis, Finding, FindingKind, Instance
from dicom.terms.lesions import Point
from webui.study.loading import StudyPage
from webui.study.outlines import DisplayedLesion, displayed_lesions


@dataclass(frozen=True)
class Addresses:
    """URLs of pictures, by instance and frame number."""

    frame: Callable[[UUID, int], str]
    thumbnail: Callable[[UUID, int], str]
    heatmap: Callable[[UUID, int], str]


@dataclass(frozen=True)
class SampledFrame:
    """A frame that was analyzed; ``number`` counts from 1."""

    number: int
    probabilities: tuple[float, float, float]
    heatmap: str | None


@dataclass(frozen=True)
class ViewerOutline:
    """One lesion of the AI on one frame. ``lesion`` is its number in the study."""

    lesion: int
    uid: str
    frame: int
    label: str
    """The displayed class, which selects the color."""
    points: Sequence[Point]


@dataclass(frozen=True)
class ImageView:
    """One still or cine. ``spacing_mm`` is (row, column), None if the image is not calibrated."""

    id: UUID
    number: int
    columns: int
    rows: int
    frames: int
    frame_time_ms: float | None
    first: int
    """The frame to show first: the representative one."""
    label: str | None
    displayed_class: str | None
    """``label``, or undecided."""
    probabilities: tuple[float, float, float] | None
    laterality: str
    spacing_mm: tuple[float, float] | None
    refused: str
    thumbnail: str
    folder: str
    """URL of the folder of the frames: ``<folder>/<number>.jpg``."""
    sampled: Sequence[SampledFrame]
    outlines: Sequence[ViewerOutline]


@dataclass(frozen=True)
class LesionView:
    """One lesion on all its frames. Its size is that of its largest outline."""

    number: int
    image: int
    outlines: Sequence[DisplayedLesion]

    @property
    def largest(self) -> DisplayedLesion:
        return max(self.outlines, key=lambda outline: outline.area_px)

    @property
    def frame(self) -> int:
        return self.largest.frame_number

    @property
    def change(self) -> str:
        """How the reader changed the lesion; empty if unchanged."""
        changes = {outline.change for outline in self.outlines}
        if changes == {""}:
            return ""
        return f"{changes.pop() if len(changes) == 1 else 'edited'} by reader"

    @property
    def size(self) -> str:
        measurements = self.largest.measurements
        if measurements is None:
            return ""
        if size_mm := measurements.size_mm:
            return f"{size_mm.long_axis_mm:.1f} × {size_mm.short_axis_mm:.1f} mm"
        return f"{measurements.long_axis_px:.0f} × {measurements.short_axis_px:.0f} px"

    @property
    def area(self) -> str:
        """Empty if the image is not calibrated, because an area in pixels is of no use."""
        measurements = self.largest.measurements
        if measurements is None or measurements.size_mm is None:
            return ""
        return f"{measurements.size_mm.area_mm2:.0f} mm²"


def list_lesions(
    instances: Sequence[Instance], findings: Sequence[Finding], outlines: Sequence[ReaderOutline]
) -> list[LesionView]:
    """Return the lesions of the study with the reader's ``outlines``, numbered as in the SR."""
    order = {instance.id: number for number, instance in enumerate(instances, 1)}
    grouped: dict[str, list[DisplayedLesion]] = {}
    lesions = displayed_lesions(findings, outlines)
    for row in sorted(lesions, key=lambda d: (order[d.instance_id], d.number, d.frame_number)):
        grouped.setdefault(row.tracking_uid, []).append(row)
    return [
        LesionView(rows[0].number, order[rows[0].instance_id], rows) for rows in grouped.values()
    ]


def list_images(page: StudyPage, addresses: Addresses) -> list[ImageView]:
    refusals = {row.instance_id: row.text for row in page.refusals if row.frame_number is None}
    return [
        _to_view(
            instance,
            number,
            [finding for finding in page.findings if finding.instance_id == instance.id],
            refusals.get(instance.id, ""),
            addresses,
        )
        for number, instance in enumerate(page.instances, 1)
    ]


def first_image(images: Sequence[ImageView], analysis: Analysis | None) -> int:
    """Return the index of the image to open: the one with the probabilities of the study."""
    probabilities = analysis.probabilities if analysis else None
    for index, image in enumerate(images):
        if probabilities and image.probabilities == probabilities:
            return index
    return 0


def to_json(images: Sequence[ImageView]) -> list[dict[str, Any]]:
    return [asdict(image) | {"id": str(image.id)} for image in images]


def _to_view(
    instance: Instance,
    number: int,
    findings: Sequence[Finding],
    refused: str,
    addresses: Addresses,
) -> ImageView:
    image = next((finding for finding in findings if finding.kind is FindingKind.IMAGE), None)
    count = max(1, instance.number_of_frames)
    first = min(image.frame_number, count) if image else 1
    return ImageView(
        id=instance.id,
        number=number,
        columns=instance.columns,
        rows=instance.rows,
        frames=count,
        frame_time_ms=instance.frame_time_ms,
        first=first,
        label=image.label if image else None,
        displayed_class=image.displayed_class if image else None,
        probabilities=image.probabilities if image else None,
        laterality=instance.laterality,
        spacing_mm=image.spacing_mm if image else None,
        refused=refused,
        thumbnail=addresses.thumbnail(instance.id, first),
        folder=addresses.frame(instance.id, first).rsplit("/", 1)[0],
        sampled=[
            SampledFrame(
                frame.frame_number,
                frame.probabilities,
                addresses.heatmap(instance.id, frame.frame_number) if frame.heatmap_file else None,
            )
            for frame in (image and image.frames) or ()
        ],
        outlines=[
            ViewerOutline(
                row.number, row.tracking_uid, row.frame_number, row.displayed_class, row.contour
            )
            for row in findings
            if row.kind is FindingKind.LESION and row.contour
        ],
    )
