"""What the frame viewer draws, as plain data that goes to the browser as JSON."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from db.outlines import ReaderOutline
from db.schema import Analysis, Finding, FindingKind, Instance, Refusal
from webui.study.loading import StudyPage
from webui.study.outlines import Drawing, standing

Point = tuple[float, float]


@dataclass(frozen=True)
class Addresses:
    """How the browser asks for pictures."""

    frame: Callable[[UUID, int], str]
    thumbnail: Callable[[UUID, int], str]
    heatmap: Callable[[UUID, int], str]


@dataclass(frozen=True)
class SampledFrame:
    """A frame that the classifier looked at; ``number`` counts from 1."""

    number: int
    probabilities: tuple[float, float, float]
    heatmap: str | None


@dataclass(frozen=True)
class Outline:
    """One lesion of the network on one frame. ``lesion`` is its number in the study's list."""

    lesion: int
    uid: str
    frame: int
    label: str
    """A class, or undecided: the color."""
    points: Sequence[Point]


@dataclass(frozen=True)
class ImageView:
    """One still or cine. Sizes in pixels; ``spacing_mm`` is (row, column), None: uncalibrated."""

    id: UUID
    number: int
    columns: int
    rows: int
    frames: int
    frame_time_ms: float | None
    first: int
    """The frame to show first: the one that speaks for the image."""
    label: str | None
    displayed_class: str | None
    """``label``, or undecided."""
    probabilities: tuple[float, float, float] | None
    laterality: str
    spacing_mm: tuple[float, float] | None
    refused: str
    thumbnail: str
    folder: str
    """Address below which the frames lie: ``<folder>/<number>.jpg``."""
    sampled: Sequence[SampledFrame]
    outlines: Sequence[Outline]


@dataclass(frozen=True)
class LesionView:
    """One lesion of the study on all its frames; its size is that of its largest outline."""

    number: int
    image: int
    drawings: Sequence[Drawing]

    @property
    def largest(self) -> Drawing:
        return max(self.drawings, key=lambda drawing: drawing.area_px)

    @property
    def frame(self) -> int:
        return self.largest.frame_number

    @property
    def mark(self) -> str:
        """What the reader did to it, in words; empty for a lesion left alone."""
        marks = {drawing.mark for drawing in self.drawings}
        if marks == {""}:
            return ""
        return f"{marks.pop() if len(marks) == 1 else 'edited'} by reader"

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
        """Empty when the image is not calibrated: a number of pixels says nothing of a lesion."""
        measurements = self.largest.measurements
        if measurements is None or measurements.size_mm is None:
            return ""
        return f"{measurements.size_mm.area_mm2:.0f} mm²"


def lesions_of(
    instances: Sequence[Instance], findings: Sequence[Finding], outlines: Sequence[ReaderOutline]
) -> list[LesionView]:
    """The study's lesions, numbered as in its SR, each with all its frames, as the reader of
    ``outlines`` leaves them.
    """
    order = {instance.id: number for number, instance in enumerate(instances, 1)}
    grouped: dict[str, list[Drawing]] = {}
    drawings = standing(findings, outlines)
    for row in sorted(drawings, key=lambda d: (order[d.instance_id], d.number, d.frame_number)):
        grouped.setdefault(row.tracking_uid, []).append(row)
    return [
        LesionView(rows[0].number, order[rows[0].instance_id], rows) for rows in grouped.values()
    ]


def images_of(page: StudyPage, addresses: Addresses) -> list[ImageView]:
    return [
        _image(
            instance,
            number,
            [finding for finding in page.findings if finding.instance_id == instance.id],
            _whole_refusal(page.refusals, instance.id),
            addresses,
        )
        for number, instance in enumerate(page.instances, 1)
    ]


def first_image(images: Sequence[ImageView], analysis: Analysis | None) -> int:
    """Index of the image to open with: the one that speaks for the study, whose probabilities
    are the study's.
    """
    said = analysis.probabilities if analysis else None
    speaking = (at for at, image in enumerate(images) if said and image.probabilities == said)
    return next(speaking, 0)


def as_json(images: Sequence[ImageView]) -> list[dict[str, Any]]:
    return [_plain(image) for image in images]


def _image(
    instance: Instance,
    number: int,
    findings: Sequence[Finding],
    refusal: Refusal | None,
    addresses: Addresses,
) -> ImageView:
    said = next((finding for finding in findings if finding.kind is FindingKind.IMAGE), None)
    count = max(1, instance.number_of_frames)
    first = min(said.frame_number, count) if said else 1
    return ImageView(
        id=instance.id,
        number=number,
        columns=instance.columns,
        rows=instance.rows,
        frames=count,
        frame_time_ms=instance.frame_time_ms,
        first=first,
        label=said.label if said else None,
        displayed_class=said.displayed_class if said else None,
        probabilities=said.probabilities if said else None,
        laterality=instance.laterality,
        spacing_mm=_spacing(findings),
        refused=refusal.text if refusal else "",
        thumbnail=addresses.thumbnail(instance.id, first),
        folder=addresses.frame(instance.id, first).rsplit("/", 1)[0],
        sampled=_sampled(said, addresses),
        outlines=_outlines(findings),
    )


def _whole_refusal(refusals: Sequence[Refusal], instance_id: UUID) -> Refusal | None:
    whole = (r for r in refusals if r.instance_id == instance_id and r.frame_number is None)
    return next(whole, None)


def _spacing(findings: Sequence[Finding]) -> tuple[float, float] | None:
    for finding in findings:
        if finding.spacing_mm:
            return finding.spacing_mm
    return None


def _sampled(said: Finding | None, addresses: Addresses) -> list[SampledFrame]:
    if said is None:
        return []
    return [
        SampledFrame(
            frame.frame_number,
            frame.probabilities,
            addresses.heatmap(said.instance_id, frame.frame_number) if frame.heatmap_file else None,
        )
        for frame in said.frames or ()
    ]


def _outlines(findings: Sequence[Finding]) -> list[Outline]:
    return [
        Outline(row.number, row.tracking_uid, row.frame_number, row.displayed_class, row.contour)
        for row in findings
        if row.kind is FindingKind.LESION and row.contour
    ]


def _plain(image: ImageView) -> dict[str, Any]:
    plain = dict(vars(image))
    plain["id"] = str(image.id)
    plain["sampled"] = [vars(frame) for frame in image.sampled]
    plain["outlines"] = [vars(outline) for outline in image.outlines]
    return plain
