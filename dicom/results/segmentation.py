"""A segmentation object (PS3.3 A.51, A.90) out of planes of pixels, whatever they show.

highdicom writes the header, from a one-frame stand-in: it takes no multi-frame image without a
frame of reference, which ultrasound does not have. The frames are written here.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

import numpy as np
from highdicom import AlgorithmIdentificationSequence
from highdicom.color import CIELabColor
from highdicom.seg import Segmentation, SegmentDescription
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.utils import pack_bits
from pydicom.sr.coding import Code
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRLittleEndian

from dicom.attributes import get_text
from dicom.codes import AI, BREAST, SIDE, code_item
from dicom.equipment import MANUFACTURER, RESULT_MODEL
from dicom.results.copying import copy_values
from dicom.results.model import Algorithm, StudyResult
from dicom.results.provenance import add_provenance, add_times, serial_number
from dicom.results.source_image import SourceImage, name_true_classes, one_frame_stand_in
from dicom.uids import derived_uid

FULL: Final = 255
"""Maximum Fractional Value (0062,000E): what a probability of 1 is stored as."""
COMPRESSION: Final = (
    "LossyImageCompression",
    "LossyImageCompressionRatio",
    "LossyImageCompressionMethod",
)
"""What an image says of its own loss (PS3.3 C.7.6.1.1.5)."""
Plane = NDArray[np.uint8]
"""(rows, columns) of the image. BINARY and LABELMAP: 0 or 1; FRACTIONAL: 0 to FULL."""


class Encoding(StrEnum):
    """Segmentation Type (0062,0001)."""

    BINARY = "BINARY"
    FRACTIONAL = "FRACTIONAL"
    """Of probability (PS3.3 C.8.20.2)."""
    LABELMAP = "LABELMAP"
    """One plane for all segments: a pixel belongs to one of them only."""


class Origin(StrEnum):
    """Segment Algorithm Type (0062,0008)."""

    AUTOMATIC = "AUTOMATIC"
    SEMIAUTOMATIC = "SEMIAUTOMATIC"
    MANUAL = "MANUAL"


@dataclass(frozen=True, eq=False)
class Segment:
    """What one segment shows, where, and who says so."""

    label: str
    category: Code
    kind: Code
    color: CIELabColor
    planes: Mapping[int, Plane]
    """By 1-based frame of the source; a still has frame 1."""
    parameters: Mapping[str, str]
    """Of the algorithm: the weights."""
    tracking_uid: str | None = None
    origin: Origin = Origin.AUTOMATIC


@dataclass(frozen=True, eq=False)
class Plan:
    """What makes one object different from another."""

    sop_instance_uid: str
    series_instance_uid: str
    series_number: int
    series_description: str
    content_label: str
    """Content Label (0070,0080): capitals."""
    content_description: str
    encoding: Encoding
    segments: Sequence[Segment]
    moment: datetime
    """When what it shows was found, or drawn."""
    every_frame: bool = False
    """Store also the frames of a cine that show nothing."""
    creator: str = ""
    """DICOM person name of the reader who drew, when one did."""


@dataclass(frozen=True, eq=False)
class _Stored:
    """One frame as stored. `segment` is its number, None in a label map."""

    segment: int | None
    source_frame: int
    plane: Plane


def write_segmentation(plan: Plan, source: SourceImage, result: StudyResult) -> Dataset:
    """Return the object that `plan` describes, on `source`, in Explicit VR Little Endian.

    It names no frame of reference and no geometry: ultrasound has none, and none is invented.
    Where the segments of a label map overlap, a pixel is the smaller one's, of two equal ones
    the first's.
    """
    segmentation = _header_by_highdicom(plan, source, result.algorithm)
    frames = list(_frames(plan, source))
    _replace_frames(segmentation, frames, cine=source.cine)
    name_true_classes(segmentation, {source.header.sop_instance_uid: source})
    _add_pixels(segmentation, plan.encoding, frames)
    segmentation.SegmentsOverlap = "YES" if _overlap(frames) else "NO"
    _name_dimensions(segmentation, derived_uid("dimensions", plan.sop_instance_uid))
    _add_laterality(segmentation, source)
    _add_compression(segmentation, source)
    segmentation.PatientOrientation = None  # type 2C; highdicom leaves it out without geometry
    segmentation.ContentCreatorName = plan.creator or None  # type 2; it leaves this out too
    segmentation.SeriesDescription = plan.series_description
    add_provenance(segmentation, source, result)
    add_times(segmentation, plan.moment)
    return segmentation


def _header_by_highdicom(plan: Plan, source: SourceImage, algorithm: Algorithm) -> Segmentation:
    count = 1 if plan.encoding is Encoding.LABELMAP else len(plan.segments)
    full = np.ones((1, *source.shape, count), dtype=np.uint8)  # the frames come later
    return Segmentation(
        source_images=[one_frame_stand_in(source)],
        pixel_array=full[..., 0] if plan.encoding is Encoding.LABELMAP else full,
        segmentation_type=plan.encoding.value,
        segment_descriptions=[
            _description(number, segment, algorithm)
            for number, segment in enumerate(plan.segments, start=1)
        ],
        series_instance_uid=plan.series_instance_uid,
        series_number=plan.series_number,
        sop_instance_uid=plan.sop_instance_uid,
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=RESULT_MODEL,
        software_versions=algorithm.version,
        device_serial_number=serial_number(algorithm),
        max_fractional_value=FULL,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        content_label=plan.content_label,
        content_description=plan.content_description,
    )


def _description(number: int, segment: Segment, algorithm: Algorithm) -> SegmentDescription:
    by_hand = segment.origin is Origin.MANUAL
    return SegmentDescription(
        segment_number=number,
        segment_label=segment.label,
        segmented_property_category=segment.category,
        segmented_property_type=segment.kind,
        algorithm_type=segment.origin.value,
        algorithm_identification=None if by_hand else _identification(segment, algorithm),
        tracking_uid=segment.tracking_uid,
        tracking_id=segment.label if segment.tracking_uid else None,
        anatomic_regions=[BREAST],
        display_color=segment.color,
    )


def _identification(segment: Segment, algorithm: Algorithm) -> AlgorithmIdentificationSequence:
    return AlgorithmIdentificationSequence(
        name=algorithm.name,
        family=AI,
        version=algorithm.version,
        source=MANUFACTURER,
        parameters=dict(segment.parameters),
    )


# --------------------------------------------------------------------------- frames


def _frames(plan: Plan, source: SourceImage) -> Iterator[_Stored]:
    """Yield the frames in the order of segment, then of time."""
    shown = {number for segment in plan.segments for number in segment.planes}
    every = range(1, source.last_frame + 1) if plan.every_frame else ()
    numbers = sorted(shown.union(every))
    nothing = np.zeros(source.shape, dtype=np.uint8)
    if plan.encoding is Encoding.LABELMAP:
        for number in numbers:
            yield _Stored(None, number, _labels(plan.segments, number, nothing))
        return
    for segment_number, segment in enumerate(plan.segments, start=1):
        for number in numbers if plan.every_frame else sorted(segment.planes):
            yield _Stored(segment_number, number, segment.planes.get(number, nothing))


def _labels(segments: Sequence[Segment], frame: int, nothing: Plane) -> Plane:
    labels = nothing.copy()
    there = {n: one.planes[frame] for n, one in enumerate(segments, 1) if frame in one.planes}
    for _, number in sorted(((np.count_nonzero(there[n]), n) for n in there), reverse=True):
        labels[there[number] != 0] = number
    return labels


def _replace_frames(segmentation: Dataset, frames: Sequence[_Stored], *, cine: bool) -> None:
    """Give the stand-in's segmentation its own dimensions and frames.

    The index value of a dimension is an ordinal, so a cine's own frame number stands in
    Referenced Frame Number alone.
    """
    template = segmentation.PerFrameFunctionalGroupsSequence[0]
    shared = segmentation.SharedFunctionalGroupsSequence[0]
    shared.pop("SegmentIdentificationSequence", None)
    by_segment = frames[0].segment is not None
    if cine:
        dimensions = [*segmentation.DimensionIndexSequence][:by_segment]
        segmentation.DimensionIndexSequence = [*dimensions, _temporal_dimension()]
        template.FrameContentSequence[0].pop("FrameLabel", None)
    times = sorted({frame.source_frame for frame in frames})
    segmentation.PerFrameFunctionalGroupsSequence = [
        _groups(template, frame, 1 + times.index(frame.source_frame) if cine else None)
        for frame in frames
    ]
    segmentation.NumberOfFrames = len(frames)


def _groups(template: Dataset, frame: _Stored, position: int | None) -> Dataset:
    """Return the functional groups of one frame; `position` in time is None for a still."""
    item = copy.deepcopy(template)
    content = item.FrameContentSequence[0]
    indices = [value for value in (frame.segment, position) if value is not None]
    content.DimensionIndexValues = indices or [1]
    if position is not None:
        content.TemporalPositionIndex = position
        image = item.DerivationImageSequence[0].SourceImageSequence[0]
        image.ReferencedFrameNumber = frame.source_frame
    item.pop("SegmentIdentificationSequence", None)
    if frame.segment is not None:
        identification = Dataset()
        identification.ReferencedSegmentNumber = frame.segment
        item.SegmentIdentificationSequence = [identification]
    return item


def _temporal_dimension() -> Dataset:
    item = Dataset()
    item.DimensionIndexPointer = Tag("TemporalPositionIndex")
    item.FunctionalGroupPointer = Tag("FrameContentSequence")
    item.DimensionDescriptionLabel = "Temporal Position Index"
    return item


def _overlap(frames: Sequence[_Stored]) -> bool:
    """Tell whether two segments share a pixel of one frame."""
    seen: dict[int, NDArray[np.bool_]] = {}
    for frame in frames:
        inside = frame.plane != 0
        before = seen.get(frame.source_frame)
        if before is not None and (before & inside).any():
            return True
        seen[frame.source_frame] = inside if before is None else before | inside
    return False


def _name_dimensions(segmentation: Dataset, organization_uid: str) -> None:
    items = *segmentation.DimensionOrganizationSequence, *segmentation.DimensionIndexSequence
    for item in items:
        item.DimensionOrganizationUID = organization_uid


def _add_pixels(segmentation: Dataset, encoding: Encoding, frames: Sequence[_Stored]) -> None:
    pixels = np.concatenate([frame.plane.ravel() for frame in frames])
    if encoding is Encoding.BINARY:  # bit by bit, without a gap between frames (PS3.5 8.1.1)
        segmentation.PixelData = pack_bits(pixels, pad=True)
    else:
        segmentation.PixelData = pixels.tobytes() + b"\0" * (pixels.size % 2)


# --------------------------------------------------------------------------- the source


def _add_laterality(segmentation: Dataset, source: SourceImage) -> None:
    side = SIDE.get(source.header.laterality)
    if side is None:
        return
    for segment in segmentation.SegmentSequence:
        for region in segment.get("AnatomicRegionSequence", []):  # a background has none
            region.AnatomicRegionModifierSequence = [code_item(side)]


def _add_compression(segmentation: Dataset, source: SourceImage) -> None:
    """Say that what was outlined had been compressed with loss (PS3.3 C.7.6.1.1.5)."""
    if get_text(source.dataset, "LossyImageCompression") == "01":
        copy_values(source.dataset, segmentation, COMPRESSION)
