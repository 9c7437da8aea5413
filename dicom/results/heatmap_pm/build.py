"""Builds Parametric Maps (PS3.3 A.75) of Grad-CAM, for software that places images in space.

The IOD requires a plane. Most ultrasound images have none, so only images with a frame of reference
get a map. `find_omissions` returns the reasons for the other images.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
from highdicom import VOILUTTransformation
from highdicom.pm import ParametricMap, RealWorldValueMapping
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from dicom.codes import BREAST, GRAD_CAM, NO_UNITS, SIDE, code_item
from dicom.equipment import MANUFACTURER, RESULT_MODEL
from dicom.errors import InvalidHeader
from dicom.images.image_plane import ImagePlane, parse_image_plane
from dicom.results.copying import copy_values
from dicom.results.heatmaps import check_heatmaps, images_with_heatmaps
from dicom.results.model import Algorithm, ImageResult, StudyResult
from dicom.results.provenance import add_provenance, serial_number
from dicom.results.result_kind import BuildInputs
from dicom.results.segmentation import LOSSY_COMPRESSION
from dicom.results.source_image import (
    SourceImage,
    name_true_classes,
    one_frame_stand_in,
    read_source,
)
from dicom.uids import derived_uid

FIRST_SERIES_NUMBER: Final = 9801
SERIES_DESCRIPTION: Final = "AI heat map in space (UNVERIFIED)"
_GREATEST_WEIGHT: Final = np.float32(255)


def build_parametric_maps(inputs: BuildInputs) -> Iterator[Dataset]:
    """Build one Parametric Map for each image that has a heat map and a plane, one at a time.

    It stores the weights as 32-bit floats from 0 to 1, where 1 is the greatest weight of the image.
    Raises InvalidResult for a heat map that does not fit its image, and the errors of
    `dicom.images.header.read_header` for a source that cannot be read.
    """
    images = images_with_heatmaps(inputs.result)
    for series_number, image in enumerate(images, start=FIRST_SERIES_NUMBER):
        source = read_source(image.source)
        try:
            plane = parse_image_plane(source)
        except InvalidHeader:
            continue
        check_heatmaps(image, source)
        yield _build_map(inputs.result, image, source, plane, series_number)


def find_omissions(result: StudyResult) -> list[str]:
    """Return one reason for each image that has a heat map and gets no Parametric Map.

    Raises the errors of `dicom.images.header.read_header` for a source that cannot be read.
    """
    reasons = []
    for image in images_with_heatmaps(result):
        try:
            parse_image_plane(read_source(image.source))
        except InvalidHeader as error:
            reasons.append(str(error))
    return reasons


def _build_map(
    result: StudyResult,
    image: ImageResult,
    source: SourceImage,
    plane: ImagePlane,
    series_number: int,
) -> Dataset:
    uid_parts = result.analysis_id, image.sop_instance_uid
    parametric_map = ParametricMap(
        source_images=[_stand_in_with_plane(source, plane)],
        pixel_array=image.heatmaps[1].astype(np.float32) / _GREATEST_WEIGHT,
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[_value_mapping(image, result.algorithm)],
        voi_lut_transformations=[VOILUTTransformation(window_center=0.5, window_width=1.0)],
        series_instance_uid=derived_uid("heatmap-pm-series", *uid_parts),
        series_number=series_number,
        sop_instance_uid=derived_uid("heatmap-pm", *uid_parts),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=RESULT_MODEL,
        software_versions=result.algorithm.version,
        device_serial_number=serial_number(result.algorithm),
        content_label="GRADCAM",
        content_description=f"Grad-CAM of the class {image.label}",
    )
    _correct_functional_groups(parametric_map, source, plane)
    name_true_classes(parametric_map, {source.header.sop_instance_uid: source})
    parametric_map.ContentCreatorName = None  # type 2; highdicom leaves it out
    parametric_map.SeriesDescription = SERIES_DESCRIPTION
    add_provenance(parametric_map, source, result)
    return parametric_map


def _stand_in_with_plane(source: SourceImage, plane: ImagePlane) -> Dataset:
    stand_in = one_frame_stand_in(source)
    copy_values(source.dataset, stand_in, LOSSY_COMPRESSION)
    stand_in.FrameOfReferenceUID = plane.frame_of_reference_uid
    stand_in.PositionReferenceIndicator = plane.position_reference
    stand_in.ImagePositionPatient = list(plane.position_mm)
    stand_in.ImageOrientationPatient = list(plane.orientation)
    stand_in.PixelSpacing = list(plane.spacing_mm)
    stand_in.SliceThickness = plane.thickness_mm or None
    return stand_in


def _value_mapping(image: ImageResult, algorithm: Algorithm) -> RealWorldValueMapping:
    mapping = RealWorldValueMapping(
        lut_label="GRADCAM",
        lut_explanation=f"Grad-CAM of the class {image.label}",
        unit=NO_UNITS,
        value_range=(0.0, 1.0),
        slope=1.0,
        intercept=0.0,
        quantity_definition=GRAD_CAM,
    )
    definition: list[Dataset] = [*mapping.QuantityDefinitionSequence]
    # as content items (PS3.3 10.2), because the IOD has no attribute for the algorithm
    for name, value in (
        (codes.DCM.AlgorithmName, algorithm.name),
        (codes.DCM.AlgorithmVersion, algorithm.version),
        (codes.DCM.AlgorithmParameters, f"classifier sha256:{algorithm.classifier_digest}"),
    ):
        item = Dataset()
        item.ValueType = "TEXT"
        item.ConceptNameCodeSequence = [code_item(name)]
        item.TextValue = value
        definition.append(item)
    mapping.add_new("QuantityDefinitionSequence", "SQ", definition)
    return mapping


def _correct_functional_groups(
    parametric_map: Dataset, source: SourceImage, plane: ImagePlane
) -> None:
    """Replace values that highdicom generates by those of the image, without rounding.

    highdicom writes random dimension UIDs and a Spacing Between Slices of 1 mm.
    """
    for item in (
        *parametric_map.DimensionOrganizationSequence,
        *parametric_map.DimensionIndexSequence,
    ):
        item.DimensionOrganizationUID = derived_uid("dimensions", parametric_map.SOPInstanceUID)
    shared = parametric_map.SharedFunctionalGroupsSequence[0]
    (frame,) = parametric_map.PerFrameFunctionalGroupsSequence
    measures = Dataset()
    measures.PixelSpacing = list(plane.spacing_mm)
    if plane.thickness_mm:
        measures.SliceThickness = plane.thickness_mm
    shared.PixelMeasuresSequence = [measures]
    shared.PlaneOrientationSequence[0].ImageOrientationPatient = list(plane.orientation)
    frame.PlanePositionSequence[0].ImagePositionPatient = list(plane.position_mm)
    side = source.header.laterality
    if side in SIDE:
        anatomy = Dataset()
        anatomy.FrameLaterality = side
        anatomy.AnatomicRegionSequence = [code_item(BREAST)]
        shared.FrameAnatomySequence = [anatomy]
    else:  # Frame Laterality must not be empty (PS3.3 C.7.6.16.2.8)
        parametric_map.Laterality = None
