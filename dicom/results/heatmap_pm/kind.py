"""`heatmap-pm`: Grad-CAM as a Parametric Map (PS3.3 A.75)."""

from typing import Final

from dicom.results.heatmap_pm.build import build_parametric_maps, find_omissions
from dicom.results.heatmap_pm.verify import verify_parametric_map
from dicom.results.result_kind import ResultKind, ResultRole

KIND: Final = ResultKind(
    name="heatmap-pm",
    description="Grad-CAM as numbers in space, a parametric map",
    role=ResultRole.EXPLANATION,
    variants=("float",),
    build=build_parametric_maps,
    verify=verify_parametric_map,
    find_omissions=find_omissions,
)
