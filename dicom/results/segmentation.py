"""Writes a Segmentation object (PS3.3 A.51, A.90) from planes of pixels.

highdicom writes the header from a one-frame stand-in, because it accepts no multi-frame image
without a frame of reference, which ultrasound does not have. The frames and the geometry are
written here.
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
from pydicom.valuerep import format_number_as_ds

from dicom.attributes import get_text
from dicom.codes import AI, BREAST, SIDE, code_item
from dicom.equipment import MANUFACTURER, RESULT_MODEL
from dicom.errors import InvalidHeader
from dicom.images.image_plane import parse_orientation
from dicom.results.copying import copy_values
from dicom.results.model import Algorithm, StudyResult
from dicom.results.provenance import add_provenance, add_times, serial_number
from dicom.results.source_image import SourceImage, name_true_classes, one_frame_stand_in
from dicom.uids import derived_uid

CONTENT_REVISION: Final = "2"
"""Part of the UIDs of segmentations. A change of what they contain raises it, so that objects built
again from a stored analysis never have the UIDs of different ones that a PACS already has."""
MAX_FRACTIONAL_VALUE: Final = 255
"""Maximum Fractional Value (0062,000E), which stands for a probability of 1."""
LOSSY_COMPRESSION: Final = (
    "LossyImageCompression",
    "LossyImageCompressionRatio",
    "LossyImageCompressionMethod",
)
"""The attributes that describe lossy compression (PS3.3 C.7.6.1.1.5)."""
_IMAGE_AXES: Final = ("1", "0", "0", "0", "1", "0")
"""Image Orientation (0020,0037) along the rows and columns of the image itself."""
_NOMINAL_THICKNESS_MM: Final = "1"
"""Slice Thickness (0018,0050). An ultrasound image has none, but OHIF fails on an empty Pixel Measures
Sequence, highdicom on one without a thickness, and validators reject 0, the thickness of a plane.
By itself it gives no size, as an invented pixel spacing would, and a volume computed with it has
the number of the area in mm²."""
Plane = NDArray[np.uint8]
"""(rows, columns) of the image. BINARY and LABELMAP: 0 or 1; FRACTIONAL: 0 to 255."""


class SegmentationType(StrEnum):
    """Segmentation Type (0062,0001)."""

    BINARY = "BINARY"
    FRACTIONAL = "FRACTIONAL"
    LABELMAP = "LABELMAP"
    """One plane for all segments, in which a pixel belongs to at most one."""


class FractionalType(StrEnum):
    """Segmentation Fractional Type (0062,0010)."""

    PROBABILITY = "PROBABILITY"
    OCCUPANCY = "OCCUPANCY"
    """Which part of a pixel the segment covers."""


class SegmentAlgorithmType(StrEnum):
    """Segment Algorithm Type (0062,0008)."""

    AUTOMATIC = "AUTOMATIC"
    SEMIAUTOMATIC = "SEMIAUTOMATIC"
    MANUAL = "MANUAL"


@dataclass(frozen=True, eq=False)
class Segment:
    """One segment of a segmentation."""

    label: str
    """Segment Label (0062,0005), at most 64 characters. Viewers list segments by it."""
    category: Code
    property_type: Code
    color: CIELabColor
    planes: Mapping[int, Plane]
    """By 1-based frame of the source; a still has frame 1."""
    parameters: Mapping[str, str]
    """Algorithm parameters: the digests of the weights."""
    tracking_uid: str | None = None
    tracking_id: str | None = None
    """Required with `tracking_uid`."""
    algorithm_type: SegmentAlgorithmType = SegmentAlgorithmType.AUTOMATIC


@dataclass(frozen=True, eq=False)
class SegmentationContent:
    """The content of one segmentation, without its source image and provenance."""

    sop_instance_uid: str
    series_instance_uid: str
    series_number: int
    series_description: str
    content_label: str
    """Content Label (0070,0080), in capitals."""
    content_description: str
    """Content Description (0070,0081), at most 31 characters: the axes are added to it."""
    segmentation_type: SegmentationType
    segments: Sequence[Segment]
    created_at: datetime
    """When the segments were computed or drawn."""
    spacing_mm: tuple[float, float] | None
    """(row, column) spacing by which lesions of the image are measured; None when uncalibrated."""
    fractional_type: FractionalType = FractionalType.PROBABILITY
    """Of a FRACTIONAL segmentation."""
    every_frame: bool = False
    """Whether empty frames of a cine are stored too."""
    creator: str = ""
    """DICOM person name of the reader who changed the outlines; empty for the networks."""


@dataclass(frozen=True, eq=False)
class _StoredFrame:
    segment_number: int | None
    """None in a label map."""
    source_frame: int
    plane: Plane


def write_segmentation(
    content: SegmentationContent, source: SourceImage, result: StudyResult
) -> Dataset:
    """Return a segmentation of `source` in Explicit VR Little Endian.

    It has no frame of reference and no position, because ultrasound has none: its planes have the
    orientation of the image, and pixel spacing only if the image is calibrated. Where segments of a
    label map overlap, the smallest one gets the pixel, or the first of those of equal size.
    """
    segmentation = _build_header(content, source, result.algorithm)
    frames = list(_stored_frames(content, source))
    _replace_frames(segmentation, frames, cine=source.cine)
    _add_geometry(segmentation, source, content.spacing_mm)
    name_true_classes(segmentation, {source.header.sop_instance_uid: source})
    pixels = np.concatenate([frame.plane.ravel() for frame in frames])
    if content.segmentation_type is SegmentationType.BINARY:
        # frames are packed without padding between them (PS3.5 8.1.1)
        segmentation.PixelData = pack_bits(pixels, pad=True)
    else:
        segmentation.PixelData = pixels.tobytes() + b"\0" * (pixels.size % 2)
    segmentation.SegmentsOverlap = "YES" if _segments_overlap(frames) else "NO"
    organization_uid = derived_uid("dimensions", content.sop_instance_uid)
    for item in (*segmentation.DimensionOrganizationSequence, *segmentation.DimensionIndexSequence):
        item.DimensionOrganizationUID = organization_uid
    if side := SIDE.get(source.header.laterality):
        for segment in segmentation.SegmentSequence:
            for region in segment.get("AnatomicRegionSequence", []):  # absent for the background
                region.AnatomicRegionModifierSequence = [code_item(side)]
    if get_text(source.dataset, "LossyImageCompression") == "01":
        copy_values(source.dataset, segmentation, LOSSY_COMPRESSION)
    segmentation.PatientOrientation = None  # type 2C; highdicom leaves it out without geometry
    segmentation.ContentCreatorName = content.creator or None  # type 2; highdicom leaves it out
    segmentation.SeriesDescription = content.series_description
    add_provenance(segmentation, source, result)
    add_times(segmentation, content.created_at)
    return segmentation


def _build_header(
    content: SegmentationContent, source: SourceImage, algorithm: Algorithm
) -> Segmentation:
    """Return highdicom's segmentation of the stand-in, with one filled frame for each segment."""
    is_labelmap = content.segmentation_type is SegmentationType.LABELMAP
    shape = source.shape if is_labelmap else (*source.shape, len(content.segments))
    return Segmentation(
        source_images=[one_frame_stand_in(source)],
        pixel_array=np.ones((1, *shape), dtype=np.uint8),
        segmentation_type=content.segmentation_type.value,
        fractional_type=content.fractional_type.value,
        segment_descriptions=[
            _describe_segment(number, segment, algorithm)
            for number, segment in enumerate(content.segments, start=1)
        ],
        series_instance_uid=content.series_instance_uid,
        series_number=content.series_number,
        sop_instance_uid=content.sop_instance_uid,
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=RESULT_MODEL,
        software_versions=algorithm.version,
        device_serial_number=serial_number(algorithm),
        max_fractional_value=MAX_FRACTIONAL_VALUE,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        content_label=content.content_label,
        content_description=content.content_description,
    )


def _describe_segment(number: int, segment: Segment, algorithm: Algorithm) -> SegmentDescription:
    identification = AlgorithmIdentificationSequence(
        name=algorithm.name,
        family=AI,
        version=algorithm.version,
        source=MANUFACTURER,
        parameters=dict(segment.parameters),
    )
    is_manual = segment.algorithm_type is SegmentAlgorithmType.MANUAL
    return SegmentDescription(
        segment_number=number,
        segment_label=segment.label,
        segmented_property_category=segment.category,
        segmented_property_type=segment.property_type,
        algorithm_type=segment.algorithm_type.value,
        algorithm_identification=None if is_manual else identification,
        tracking_uid=segment.tracking_uid,
        tracking_id=segment.tracking_id,
        anatomic_regions=[BREAST],
        display_color=segment.color,
    )


def _stored_frames(content: SegmentationContent, source: SourceImage) -> Iterator[_StoredFrame]:
    """Yield the frames ordered by segment, then by frame of the source."""
    not_empty = {number for segment in content.segments for number in segment.planes}
    every_frame = range(1, source.last_frame + 1) if content.every_frame else ()
    numbers = sorted(not_empty.union(every_frame))
    empty = np.zeros(source.shape, dtype=np.uint8)
    if content.segmentation_type is SegmentationType.LABELMAP:
        for number in numbers:
            planes = {
                label: segment.planes[number]
                for label, segment in enumerate(content.segments, start=1)
                if number in segment.planes
            }
            labels = empty.copy()
            # largest first, so that a smaller segment is drawn over it
            by_size = sorted(planes, key=lambda label: (np.count_nonzero(planes[label]), label))
            for label in reversed(by_size):
                labels[planes[label] != 0] = label
            yield _StoredFrame(None, number, labels)
        return
    for segment_number, segment in enumerate(content.segments, start=1):
        for number in numbers if content.every_frame else sorted(segment.planes):
            yield _StoredFrame(segment_number, number, segment.planes.get(number, empty))


def _replace_frames(segmentation: Dataset, frames: Sequence[_StoredFrame], *, cine: bool) -> None:
    """Replace the dimensions and frames of the stand-in by those of the source.

    Dimension index values are ordinals. Only Referenced Frame Number states the frame of a cine.
    """
    template = segmentation.PerFrameFunctionalGroupsSequence[0]
    template.pop("SegmentIdentificationSequence", None)
    segmentation.SharedFunctionalGroupsSequence[0].pop("SegmentIdentificationSequence", None)
    if cine:
        has_segment_dimension = frames[0].segment_number is not None
        temporal = Dataset()
        temporal.DimensionIndexPointer = Tag("TemporalPositionIndex")
        temporal.FunctionalGroupPointer = Tag("FrameContentSequence")
        temporal.DimensionDescriptionLabel = "Temporal Position Index"
        dimensions = [*segmentation.DimensionIndexSequence][:has_segment_dimension]
        segmentation.DimensionIndexSequence = [*dimensions, temporal]
        template.FrameContentSequence[0].pop("FrameLabel", None)
    source_frames = sorted({frame.source_frame for frame in frames})
    segmentation.PerFrameFunctionalGroupsSequence = [
        _frame_groups(
            template, frame, 1 + source_frames.index(frame.source_frame) if cine else None
        )
        for frame in frames
    ]
    segmentation.NumberOfFrames = len(frames)


def _frame_groups(template: Dataset, frame: _StoredFrame, temporal_position: int | None) -> Dataset:
    """Return the functional groups of one frame. `temporal_position` is None for a still."""
    groups = copy.deepcopy(template)
    content = groups.FrameContentSequence[0]
    indices = [index for index in (frame.segment_number, temporal_position) if index is not None]
    content.DimensionIndexValues = indices or [1]
    if temporal_position is not None:
        content.TemporalPositionIndex = temporal_position
        image = groups.DerivationImageSequence[0].SourceImageSequence[0]
        image.ReferencedFrameNumber = frame.source_frame
    if frame.segment_number is not None:
        identification = Dataset()
        identification.ReferencedSegmentNumber = frame.segment_number
        groups.SegmentIdentificationSequence = [identification]
    return groups


def _add_geometry(
    segmentation: Dataset, source: SourceImage, spacing_mm: tuple[float, float] | None
) -> None:
    """Add the shared functional groups without which Cornerstone3D does not show a segmentation.

    A viewer draws it on the image that Derivation Image references, so it needs no position. An
    orientation that differs from that of the image is refused as oblique. Viewers assume the axes
    of the image for one that has no orientation, as almost all ultrasound images.
    """
    try:
        orientation, told = parse_orientation(source.dataset), "patient axes, no position"
    except InvalidHeader:
        orientation, told = _IMAGE_AXES, "image axes, no patient position"
    measures, plane = Dataset(), Dataset()
    measures.SliceThickness = _NOMINAL_THICKNESS_MM
    if spacing_mm:
        measures.PixelSpacing = [format_number_as_ds(spacing) for spacing in spacing_mm]
    plane.ImageOrientationPatient = list(orientation)
    shared = segmentation.SharedFunctionalGroupsSequence[0]
    shared.PixelMeasuresSequence = [measures]
    shared.PlaneOrientationSequence = [plane]
    segmentation.ContentDescription += f"; {told}"


def _segments_overlap(frames: Sequence[_StoredFrame]) -> bool:
    """Return whether two segments share a pixel of one frame."""
    covered: dict[int, NDArray[np.bool_]] = {}
    for frame in frames:
        inside = frame.plane != 0
        before = covered.get(frame.source_frame)
        if before is None:
            covered[frame.source_frame] = inside
        elif (before & inside).any():
            return True
        else:
            covered[frame.source_frame] = before | inside
    return False
