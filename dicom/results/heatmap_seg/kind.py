"""`heatmap-seg`: Grad-CAM as a fractional Segmentation (PS3.3 A.51)."""

from typing import Final

from dicom.results.heatmap_seg.build import build_heatmap_segmentations
from dicom.results.heatmap_seg.verify import verify_heatmap_segmentation
from dicom.results.result_kind import ResultKind, ResultRole

KIND: Final = ResultKind(
    name="heatmap-seg",
    description="Grad-CAM as numbers, a segmentation",
    role=ResultRole.EXPLANATION,
    variants=("fractional",),
    build=build_heatmap_segmentations,
    verify=verify_heatmap_segmentation,
)
