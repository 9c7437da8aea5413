"""Builds FRACTIONAL segmentations of Grad-CAM, for software.

Every image can have one, unlike a Parametric Map (`dicom.results.heatmap_pm`), which requires a
frame of reference and geometry.
"""

from collections.abc import Iterator
from typing import Final

from highdicom.color import CIELabColor
from pydicom.dataset import Dataset

from dicom.codes import FUNCTION, GRAD_CAM
from dicom.results.heatmaps import check_heatmaps, images_with_heatmaps
from dicom.results.result_kind import BuildInputs
from dicom.results.segmentation import (
    CONTENT_REVISION,
    Segment,
    SegmentationContent,
    SegmentationType,
    write_segmentation,
)
from dicom.results.source_image import read_source
from dicom.uids import derived_uid

FIRST_SERIES_NUMBER: Final = 9601
SERIES_DESCRIPTION: Final = "AI heat map (UNVERIFIED)"
_ORANGE: Final = CIELabColor(67.8, 43.4, 74.9)


def build_heatmap_segmentations(inputs: BuildInputs) -> Iterator[Dataset]:
    """Build one FRACTIONAL segmentation for each image with heat maps, with a frame for each.

    It stores the weights 0 to 255 unchanged. Raises InvalidResult for a heat map that does not fit
    its image, and the errors of `dicom.images.header.read_header` for a source that cannot be read.
    """
    result = inputs.result
    images = images_with_heatmaps(result)
    for series_number, image in enumerate(images, start=FIRST_SERIES_NUMBER):
        source = read_source(image.source)
        check_heatmaps(image, source)
        uid_parts = result.analysis_id, image.sop_instance_uid, CONTENT_REVISION
        segment = Segment(
            label=f"Grad-CAM of the class {image.label}",
            category=FUNCTION,
            property_type=GRAD_CAM,
            color=_ORANGE,
            planes=image.heatmaps,
            parameters={"classifier": f"sha256:{result.algorithm.classifier_digest}"},
        )
        content = SegmentationContent(
            sop_instance_uid=derived_uid("heatmap-seg", *uid_parts),
            series_instance_uid=derived_uid("heatmap-seg-series", *uid_parts),
            series_number=series_number,
            series_description=SERIES_DESCRIPTION,
            content_label="GRADCAM",
            content_description=f"Grad-CAM of the class {image.label}",
            segmentation_type=SegmentationType.FRACTIONAL,
            segments=[segment],
            created_at=result.produced_at,
            spacing_mm=image.spacing_mm,
        )
        yield write_segmentation(content, source, result)
