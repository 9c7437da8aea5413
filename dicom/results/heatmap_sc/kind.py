"""`heatmap-sc`: Grad-CAM as a Secondary Capture image (PS3.3 A.8)."""

from typing import Final

from dicom.results.heatmap_sc.build import TRANSFER_SYNTAXES, build_heatmap_captures
from dicom.results.heatmap_sc.verify import verify_heatmap_capture
from dicom.results.result_kind import ResultKind, ResultRole

KIND: Final = ResultKind(
    name="heatmap-sc",
    description="Grad-CAM as a color picture, a secondary capture",
    role=ResultRole.EXPLANATION,
    variants=tuple(TRANSFER_SYNTAXES),
    build=build_heatmap_captures,
    verify=verify_heatmap_capture,
)
