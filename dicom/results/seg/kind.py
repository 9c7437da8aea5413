"""`seg`: lesions as a Segmentation (PS3.3 A.51) or a Label Map Segmentation (A.90)."""

from typing import Final

from dicom.results.result_kind import ResultKind, ResultRole
from dicom.results.seg.build import (
    EVERY_FRAME,
    Variant,
    build_edited_segmentations,
    build_segmentations,
)
from dicom.results.seg.verify import verify_edited_segmentation, verify_segmentation

KIND: Final = ResultKind(
    name="seg",
    description="Lesions as a segmentation",
    role=ResultRole.SEGMENTATION,
    variants=tuple(variant.value for variant in Variant),
    options=(EVERY_FRAME,),
    build=build_segmentations,
    verify=verify_segmentation,
    build_signed=build_edited_segmentations,
    verify_signed=verify_edited_segmentation,
)
