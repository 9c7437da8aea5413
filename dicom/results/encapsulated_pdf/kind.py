"""`encapsulated-pdf`: the findings on one page (PS3.3 A.45.1), for viewers that show no SR.

Its role is `DOCUMENT`, not `REPORT`. A report is the coded document that other objects and later
reports refer to: it names the segmentations of its selection and its predecessor. The page refers
to images only, is the same in every result selection, and must never be chosen as the predecessor
of a structured report. Its Verification Flag (0040,A493) follows the signature all the same.
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
