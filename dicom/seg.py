"""Segmentation objects (PS3.3 A.51): one for each image with lesions, one segment for each lesion.

A still goes through highdicom as it is. A cine does too, as a one-frame stand-in, and then gets
frames of its own here: highdicom takes no multi-frame image without a frame of reference, which
ultrasound does not have. Only frames that show the lesion are stored.

Each object is a series of its own, because viewers show the last object of a series only.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from highdicom import AlgorithmIdentificationSequence
from highdicom.color import CIELabColor
from highdicom.seg import (
    SegmentAlgorithmTypeValues,
    Segmentation,
    SegmentationTypeValues,
    SegmentDescription,
)
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.utils import pack_bits
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRLittleEndian

from dicom.codes import ABNORMAL_STRUCTURE, AI, BREAST, LESION, SIDE, code_item
from dicom.equipment import MANUFACTURER, RESULT_MODEL
from dicom.errors import InvalidResult
from dicom.header import text
from dicom.provenance import add_provenance, copy_texts, serial_number
from dicom.results import Algorithm, ImageResult, LesionResult, StudyResult
from dicom.source import SourceImage, one_frame_stand_in, read_source
from dicom.uids import derived_uid

FIRST_SERIES_NUMBER: Final = 9001
_COMPRESSION: Final = (
    "LossyImageCompression",
    "LossyImageCompressionRatio",
    "LossyImageCompressionMethod",
)
SERIES_DESCRIPTION: Final = "AI lesion outlines (UNVERIFIED)"
_COLOURS: Final = (
    CIELabColor(53.2, 80.1, 67.2),
    CIELabColor(74.9, 23.9, 78.9),
    CIELabColor(60.3, 98.2, -60.8),
    CIELabColor(79.2, -40.9, -24.6),
    CIELabColor(62.4, -42.0, 52.0),
)
"""Red, orange, magenta, sky and green: apart from one another, and none of them grey."""


@dataclass(frozen=True)
class Segment:
    """One lesion and the frames that show it, in the order of their numbers."""

    number: int
    lesions: tuple[LesionResult, ...]

    @property
    def tracking_uid(self) -> str:
        return self.lesions[0].tracking_uid


def build_segmentations(result: StudyResult) -> list[Dataset]:
    """Return one BINARY segmentation for each image of `result` that has lesions.

    The UIDs follow from the analysis and the image: building again makes the same objects.
    Raises InvalidResult for a mask that is empty or not of its image's size, and what
    `dicom.header.read_header` raises for a source that cannot be read.
    """
    with_lesions = [image for image in result.analysed_images if image.lesions]
    return [_build(result, image, index) for index, image in enumerate(with_lesions)]


def segments_of(image: ImageResult) -> list[Segment]:
    """Group the lesions by tracking UID, in the order in which the UIDs first appear."""
    by_uid: dict[str, list[LesionResult]] = {}
    for lesion in image.lesions:
        by_uid.setdefault(lesion.tracking_uid, []).append(lesion)
    return [
        Segment(number, tuple(sorted(lesions, key=lambda lesion: lesion.frame_number)))
        for number, lesions in enumerate(by_uid.values(), start=1)
    ]


def _build(result: StudyResult, image: ImageResult, index: int) -> Dataset:
    source = read_source(image.source)
    segments = segments_of(image)
    _check(segments, source)
    segmentation = _header_by_highdicom(result, image, index, source, segments)
    _refer_to_class(segmentation, source.header.sop_class_uid)
    if source.cine:
        _replace_frames(segmentation, segments)
    organization = derived_uid("seg-dimensions", result.analysis_id, image.sop_instance_uid)
    _name_dimensions(segmentation, organization)
    _add_laterality(segmentation, source)
    _add_compression(segmentation, source)
    segmentation.PatientOrientation = None  # type 2C; highdicom leaves it out without geometry
    segmentation.SeriesDescription = SERIES_DESCRIPTION
    add_provenance(segmentation, source, result)
    return segmentation


def _check(segments: Sequence[Segment], source: SourceImage) -> None:
    for segment in segments:
        frames = [lesion.frame_number for lesion in segment.lesions]
        if len(set(frames)) != len(frames):
            raise InvalidResult("a lesion is outlined twice on one frame")
        if not all(1 <= frame <= source.last_frame for frame in frames):
            raise InvalidResult("a lesion is on a frame that no reference can name")
        for lesion in segment.lesions:
            if lesion.mask.shape != source.shape:
                raise InvalidResult("a mask is not of its image's size")
            if not lesion.mask.any():
                raise InvalidResult("a lesion's mask is empty")


def _header_by_highdicom(
    result: StudyResult,
    image: ImageResult,
    index: int,
    source: SourceImage,
    segments: Sequence[Segment],
) -> Segmentation:
    first_frames = [segment.lesions[0].mask for segment in segments]
    return Segmentation(
        source_images=[one_frame_stand_in(source)],
        pixel_array=np.stack(first_frames, axis=-1)[np.newaxis].astype(np.uint8),
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=[_description(segment, result.algorithm) for segment in segments],
        series_instance_uid=derived_uid("seg-series", result.analysis_id, image.sop_instance_uid),
        series_number=FIRST_SERIES_NUMBER + index,
        sop_instance_uid=derived_uid("seg", result.analysis_id, image.sop_instance_uid),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=RESULT_MODEL,
        software_versions=result.algorithm.version,
        device_serial_number=serial_number(result.algorithm),
        transfer_syntax_uid=ExplicitVRLittleEndian,
        content_label="LESION",
        content_description="Lesions outlined by AI",
    )


def _description(segment: Segment, algorithm: Algorithm) -> SegmentDescription:
    lesion = segment.lesions[0]
    return SegmentDescription(
        segment_number=segment.number,
        segment_label=lesion.tracking_id,
        segmented_property_category=ABNORMAL_STRUCTURE,
        segmented_property_type=LESION,
        algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=AlgorithmIdentificationSequence(
            name=algorithm.name,
            family=AI,
            version=algorithm.version,
            source=MANUFACTURER,
            parameters={"segmenter": f"sha256:{algorithm.segmenter_digest}"},
        ),
        tracking_uid=segment.tracking_uid,
        tracking_id=lesion.tracking_id,
        anatomic_regions=[BREAST],
        display_color=_COLOURS[(segment.number - 1) % len(_COLOURS)],
    )


def _add_laterality(segmentation: Dataset, source: SourceImage) -> None:
    side = SIDE.get(source.header.laterality)
    if side is None:
        return
    for segment in segmentation.SegmentSequence:
        segment.AnatomicRegionSequence[0].AnatomicRegionModifierSequence = [code_item(side)]


def _add_compression(segmentation: Dataset, source: SourceImage) -> None:
    """Say that what was outlined had been compressed with loss (PS3.3 C.7.6.1.1.5)."""
    if text(source.dataset, "LossyImageCompression") == "01":
        copy_texts(source.dataset, segmentation, _COMPRESSION)


def _name_dimensions(segmentation: Dataset, organization_uid: str) -> None:
    items = *segmentation.DimensionOrganizationSequence, *segmentation.DimensionIndexSequence
    for item in items:
        item.DimensionOrganizationUID = organization_uid


def _replace_frames(segmentation: Dataset, segments: Sequence[Segment]) -> None:
    """Give the stand-in's segmentation the cine's dimensions, frames and pixels."""
    template = segmentation.PerFrameFunctionalGroupsSequence[0]
    shared = segmentation.SharedFunctionalGroupsSequence[0]
    shared.pop("SegmentIdentificationSequence", None)
    segmentation.DimensionIndexSequence = [
        segmentation.DimensionIndexSequence[0],
        _temporal_dimension(),
    ]
    numbers = sorted({lesion.frame_number for s in segments for lesion in s.lesions})
    shown = [(segment, lesion) for segment in segments for lesion in segment.lesions]
    segmentation.PerFrameFunctionalGroupsSequence = [
        _frame(template, segment, lesion, 1 + numbers.index(lesion.frame_number))
        for segment, lesion in shown
    ]
    segmentation.NumberOfFrames = len(shown)
    segmentation.PixelData = _packed([lesion.mask for _, lesion in shown])


def _refer_to_class(segmentation: Dataset, sop_class_uid: str) -> None:
    """Undo what the stand-in said of the source's class."""
    references = [*segmentation.ReferencedSeriesSequence[0].ReferencedInstanceSequence]
    references += segmentation.get("SourceImageSequence", [])
    for groups in segmentation.PerFrameFunctionalGroupsSequence:
        references += groups.DerivationImageSequence[0].SourceImageSequence
    for reference in references:
        reference.ReferencedSOPClassUID = sop_class_uid


def _temporal_dimension() -> Dataset:
    item = Dataset()
    item.DimensionIndexPointer = Tag("TemporalPositionIndex")
    item.FunctionalGroupPointer = Tag("FrameContentSequence")
    item.DimensionDescriptionLabel = "Temporal Position Index"
    return item


def _frame(template: Dataset, segment: Segment, lesion: LesionResult, position: int) -> Dataset:
    """Return the functional groups of one frame; `position` counts the frames that show lesions.

    The index value of a dimension is an ordinal, so the cine's own frame number stands in
    Referenced Frame Number alone.
    """
    item = copy.deepcopy(template)
    content = item.FrameContentSequence[0]
    content.DimensionIndexValues = [segment.number, position]
    content.TemporalPositionIndex = position
    image = item.DerivationImageSequence[0].SourceImageSequence[0]
    image.ReferencedFrameNumber = lesion.frame_number
    identification = Dataset()
    identification.ReferencedSegmentNumber = segment.number
    item.SegmentIdentificationSequence = [identification]
    return item


def _packed(masks: Sequence[NDArray[np.bool_]]) -> bytes:
    """Return the masks bit by bit, one frame after the other without a gap (PS3.5 8.1.1)."""
    bits = np.concatenate([mask.ravel() for mask in masks]).astype(np.uint8)
    packed: bytes = pack_bits(bits, pad=True)
    return packed
