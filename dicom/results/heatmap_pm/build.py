"""Heat maps for machines as a Parametric Map (PS3.3 A.75): Grad-CAM as numbers in space.

Only of an image that lies in a frame of reference. The IOD demands a plane, most ultrasound has
none, and none is invented: `left_out` says which images go without.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
from highdicom import VOILUTTransformation
from highdicom.pm import ParametricMap, RealWorldValueMapping
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from dicom.codes import BREAST, GRAD_CAM, NO_UNITS, SIDE, code_item
from dicom.equipment import MANUFACTURER, RESULT_MODEL
from dicom.errors import InvalidHeader
from dicom.images.image_plane import ImagePlane, parse_image_plane
from dicom.results.copying import copy_values
from dicom.results.heatmap_seg.build import check_heatmaps, with_heatmaps
from dicom.results.model import Algorithm, ImageResult, StudyResult
from dicom.results.provenance import add_provenance, serial_number
from dicom.results.segmentation import COMPRESSION
from dicom.results.source_image import (
    SourceImage,
    name_true_classes,
    one_frame_stand_in,
    read_source,
)
from dicom.uids import derived_uid

FIRST_SERIES_NUMBER: Final = 9801
SERIES_DESCRIPTION: Final = "AI heat map in space (UNVERIFIED)"
_FULL: Final = np.float32(255)
"""The weight that is stored as 1."""


def build_heatmap_maps(result: StudyResult) -> list[Dataset]:
    """Return what `make_heatmap_maps` makes."""
    return list(make_heatmap_maps(result))


def make_heatmap_maps(result: StudyResult) -> Iterator[Dataset]:
    """Make one Parametric Map for each image that has a heat map and a plane, one at a time.

    Stored are the weights as 32-bit floats from 0 to 1, 1 the greatest weight of the image. The
    UIDs follow from the analysis and the image. Raises InvalidResult for a heat map of another
    size or frame than its image has, and what `dicom.images.header.read_header` raises for a source that
    cannot be read.
    """
    for index, image in enumerate(with_heatmaps(result)):
        source = read_source(image.source)
        if _why_not(source) is None:
            yield _build(result, image, source, index)


def left_out(result: StudyResult) -> tuple[str, ...]:
    """Return why, one sentence for each image that has a heat map and gets no Parametric Map.

    Raises what `dicom.images.header.read_header` raises for a source that cannot be read.
    """
    reasons = (_why_not(read_source(image.source)) for image in with_heatmaps(result))
    return tuple(str(reason) for reason in reasons if reason is not None)


def _why_not(source: SourceImage) -> InvalidHeader | None:
    try:
        parse_image_plane(source)
    except InvalidHeader as error:
        return error
    return None


def _build(result: StudyResult, image: ImageResult, source: SourceImage, index: int) -> Dataset:
    check_heatmaps(image, source)
    plane = parse_image_plane(source)
    built = _by_highdicom(result, image, source, plane, index)
    _name_dimensions(built)
    _state_plane(built, plane)
    _add_anatomy(built, source.header.laterality)
    name_true_classes(built, {source.header.sop_instance_uid: source})
    built.ContentCreatorName = None  # type 2; highdicom leaves it out
    built.SeriesDescription = SERIES_DESCRIPTION
    add_provenance(built, source, result)
    return built


def _by_highdicom(
    result: StudyResult, image: ImageResult, source: SourceImage, plane: ImagePlane, index: int
) -> ParametricMap:
    parts = result.analysis_id, image.sop_instance_uid
    return ParametricMap(
        source_images=[_stand_in(source, plane)],
        pixel_array=image.heatmaps[1].astype(np.float32) / _FULL,
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[_mapping(image, result.algorithm)],
        voi_lut_transformations=[VOILUTTransformation(window_center=0.5, window_width=1.0)],
        series_instance_uid=derived_uid("heatmap-pm-series", *parts),
        series_number=FIRST_SERIES_NUMBER + index,
        sop_instance_uid=derived_uid("heatmap-pm", *parts),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=RESULT_MODEL,
        software_versions=result.algorithm.version,
        device_serial_number=serial_number(result.algorithm),
        content_label="GRADCAM",
        content_description=f"Grad-CAM of the class {image.label}",
    )


def _stand_in(source: SourceImage, plane: ImagePlane) -> Dataset:
    stand_in = one_frame_stand_in(source)
    copy_values(source.dataset, stand_in, COMPRESSION)
    stand_in.FrameOfReferenceUID = plane.frame_of_reference_uid
    stand_in.PositionReferenceIndicator = plane.position_reference
    stand_in.ImagePositionPatient = list(plane.position_mm)
    stand_in.ImageOrientationPatient = list(plane.orientation)
    stand_in.PixelSpacing = list(plane.spacing_mm)
    stand_in.SliceThickness = plane.thickness_mm or None
    return stand_in


def _mapping(image: ImageResult, algorithm: Algorithm) -> RealWorldValueMapping:
    mapping = RealWorldValueMapping(
        lut_label="GRADCAM",
        lut_explanation=f"Grad-CAM of the class {image.label}",
        unit=NO_UNITS,
        value_range=(0.0, 1.0),
        slope=1.0,
        intercept=0.0,
        quantity_definition=GRAD_CAM,
    )
    made_by = [
        _said(codes.DCM.AlgorithmName, algorithm.name),
        _said(codes.DCM.AlgorithmVersion, algorithm.version),
        _said(codes.DCM.AlgorithmParameters, f"classifier sha256:{algorithm.classifier_digest}"),
    ]
    quantity = [*mapping.QuantityDefinitionSequence, *made_by]
    mapping.add_new("QuantityDefinitionSequence", "SQ", quantity)
    return mapping


def _said(name: Code, value: str) -> Dataset:
    """Return a content item (PS3.3 10.2): the IOD has no place of its own for the algorithm."""
    item = Dataset()
    item.ValueType = "TEXT"
    item.ConceptNameCodeSequence = [code_item(name)]
    item.TextValue = value
    return item


def _name_dimensions(built: Dataset) -> None:
    """highdicom draws a new UID each time; ours follows from the object's."""
    for item in *built.DimensionOrganizationSequence, *built.DimensionIndexSequence:
        item.DimensionOrganizationUID = derived_uid("dimensions", built.SOPInstanceUID)


def _state_plane(built: Dataset, plane: ImagePlane) -> None:
    """Say of the plane what the image says, digit by digit, and no more.

    highdicom adds a Spacing Between Slices of 1 mm to a map of one slice.
    """
    shared, (frame,) = (
        built.SharedFunctionalGroupsSequence[0],
        built.PerFrameFunctionalGroupsSequence,
    )
    measures = Dataset()
    measures.PixelSpacing = list(plane.spacing_mm)
    if plane.thickness_mm:
        measures.SliceThickness = plane.thickness_mm
    shared.PixelMeasuresSequence = [measures]
    shared.PlaneOrientationSequence[0].ImageOrientationPatient = list(plane.orientation)
    frame.PlanePositionSequence[0].ImagePositionPatient = list(plane.position_mm)


def _add_anatomy(built: Dataset, side: str) -> None:
    """Frame Anatomy takes no empty side (PS3.3 C.7.6.16.2.8), Laterality of the series does."""
    if side not in SIDE:
        built.Laterality = None
        return
    anatomy = Dataset()
    anatomy.FrameLaterality = side
    anatomy.AnatomicRegionSequence = [code_item(BREAST)]
    built.SharedFunctionalGroupsSequence[0].FrameAnatomySequence = [anatomy]
