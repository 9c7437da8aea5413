"""`encapsulated-pdf`: the findings on one page (PS3.3 A.45.1), for viewers without SR support.

Its role is `DOCUMENT`, not `REPORT`, because it must never become the predecessor of a structured
report. It refers to images only, so it is the same in every result selection.
"""

from typing import Final

from dicom.results.encapsulated_pdf.build import build_page, build_verified_page
from dicom.results.encapsulated_pdf.verify import verify_page
from dicom.results.result_kind import ResultKind, ResultRole

KIND: Final = ResultKind(
    name="encapsulated-pdf",
    description="The findings on one page, a PDF",
    role=ResultRole.DOCUMENT,
    variants=("page",),
    build=build_page,
    verify=verify_page,
    build_signed=build_verified_page,
    verify_signed=verify_page,
)
