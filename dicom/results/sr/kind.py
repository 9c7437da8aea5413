"""`sr`: findings and measurements as a Measurement Report (PS3.16 TID 1500)."""

from typing import Final

from dicom.results.result_kind import ResultKind, ResultRole
from dicom.results.sr.build import DOCUMENT_CLASSES, build_report, build_verified_report
from dicom.results.sr.verify import verify_report

KIND: Final = ResultKind(
    name="sr",
    description="Findings and measurements as a structured report",
    role=ResultRole.REPORT,
    variants=tuple(DOCUMENT_CLASSES),
    build=build_report,
    verify=verify_report,
    build_signed=build_verified_report,
    verify_signed=verify_report,
)
