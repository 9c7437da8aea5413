"""Heat maps for machines: Grad-CAM as a FRACTIONAL segmentation, tied to the frame it explains.

For every image, unlike a Parametric Map (`dicom.results.heatmap_pm.build`), whose IOD makes a frame of reference
and geometry mandatory: most ultrasound has neither, and none is invented.
"""

from collections.abc import Iterator
from typing import Final

from highdicom.color import CIELabColor
from pydicom.dataset import Dataset

from dicom.codes import FUNCTION, GRAD_CAM
from dicom.errors import InvalidResult
from dicom.results.model import Algorithm, ImageResult, StudyResult
from dicom.results.segmentation import Encoding, Plan, Segment, write_segmentation
from dicom.results.source_image import SourceImage, read_source
from dicom.uids import derived_uid

FIRST_SERIES_NUMBER: Final = 9601
SERIES_DESCRIPTION: Final = "AI heat map (UNVERIFIED)"
_COLOR: Final = CIELabColor(67.8, 43.4, 74.9)
"""Orange."""


def with_heatmaps(result: StudyResult) -> list[ImageResult]:
    """Return the analyzed images that have a heat map."""
    return [image for image in result.images if image.heatmaps]


def build_heatmap_segmentations(result: StudyResult) -> list[Dataset]:
    """Return what `make_heatmap_segmentations` makes."""
    return list(make_heatmap_segmentations(result))


def make_heatmap_segmentations(result: StudyResult) -> Iterator[Dataset]:
    """Make one FRACTIONAL segmentation for each image with heat maps, a frame for each of them.

    Stored are the weights 0 to 255 as they came. The UIDs follow from the analysis and the image.
    Raises InvalidResult for a heat map of another size or frame than its image has, and what
    `dicom.images.header.read_header` raises for a source that cannot be read.
    """
    for index, image in enumerate(with_heatmaps(result)):
        yield _build(result, image, index)


def check_heatmaps(image: ImageResult, source: SourceImage) -> None:
    """Raise InvalidResult unless the heat maps are on frames of `source`, and of its size."""
    for frame, heatmap in image.heatmaps.items():
        if not 1 <= frame <= source.last_frame:
            raise InvalidResult("a heat map is of a frame that no reference can name")
        if heatmap.shape != source.shape:
            raise InvalidResult("a heat map is not of its image's size")


def _build(result: StudyResult, image: ImageResult, index: int) -> Dataset:
    source = read_source(image.source)
    check_heatmaps(image, source)
    parts = result.analysis_id, image.sop_instance_uid
    plan = Plan(
        sop_instance_uid=derived_uid("heatmap-seg", *parts),
        series_instance_uid=derived_uid("heatmap-seg-series", *parts),
        series_number=FIRST_SERIES_NUMBER + index,
        series_description=SERIES_DESCRIPTION,
        content_label="GRADCAM",
        content_description=f"Grad-CAM of the class {image.label}",
        encoding=Encoding.FRACTIONAL,
        segments=[_segment(image, result.algorithm)],
        moment=result.produced_at,
    )
    return write_segmentation(plan, source, result)


def _segment(image: ImageResult, algorithm: Algorithm) -> Segment:
    return Segment(
        label=f"Grad-CAM of the class {image.label}",
        category=FUNCTION,
        kind=GRAD_CAM,
        color=_COLOR,
        planes=image.heatmaps,
        parameters={"classifier": f"sha256:{algorithm.classifier_digest}"},
    )
