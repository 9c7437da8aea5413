from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dicom.results.model import ImageResult, LesionResult, RefusalReason, SignedReview, StudyResult
from dicom.results.sr.labels import label_image, label_lesion, label_refusal, label_review
from tests.dicom import making

ACCEPTED = making.REVIEW
MODIFIED = replace(ACCEPTED, decision="modify", final_label="benign", birads="2")
REJECTED = replace(ACCEPTED, decision="reject", final_label=None, birads=None)
LESION = making.lesion(np.ones((4, 4), bool))
CALIBRATED = making.lesion(np.ones((4, 4), bool), spacing_mm=0.2)
IMAGE = ImageResult(Path("image.dcm"), "1.2", "1.3", None, "benign", (0.1, 0.7, 0.2), (LESION,))
STUDY = making.study_result(IMAGE, label="malignant", probabilities=(0.0, 0.003, 0.997))


@pytest.mark.parametrize(
    ("lesion", "review", "label"),
    [
        (LESION, None, "Lesion 1: malignant 80 % (AI, unverified)"),
        (replace(LESION, undecided=True), None, "Lesion 1: undecided (AI, unverified)"),
        (LESION, ACCEPTED, "Lesion 1: malignant 80 % (AI, accepted by the reader)"),
        (LESION, MODIFIED, "Lesion 1: outlined by AI"),
        (CALIBRATED, None, "Lesion 1: malignant 80 % (AI, unverified), 0.6 x 0.6 mm, 0.6 mm²"),
        (
            replace(LESION, origin="corrected"),
            MODIFIED,
            "Lesion 1: outline corrected by the reader",
        ),
        (replace(LESION, origin="drawn"), ACCEPTED, "Lesion 1: outlined by the reader"),
    ],
)
def test_a_lesions_label_names_a_class_only_where_the_report_does(
    lesion: LesionResult, review: SignedReview | None, label: str
) -> None:
    assert label_lesion(lesion, review) == label


@pytest.mark.parametrize(
    ("study", "review", "label"),
    [
        (STUDY, None, "Cine: benign 70 %; study: malignant > 99 % (AI, unverified)"),
        (
            replace(STUDY, undecided=True),
            None,
            "Cine: benign 70 %; study: undecided (AI, unverified)",
        ),
        (
            STUDY,
            ACCEPTED,
            "Cine: benign 70 % (AI, accepted); Study: malignant, BI-RADS 4C, signed by "
            + "Wilhelm Röntgen",
        ),
        (STUDY, MODIFIED, "Study: benign, BI-RADS 2, signed by Wilhelm Röntgen"),
    ],
)
def test_an_images_label_names_the_class_of_the_study_too(
    study: StudyResult, review: SignedReview | None, label: str
) -> None:
    assert label_image(IMAGE, study, review, cine=True) == label


def test_a_rejection_says_so_and_who_signed_it() -> None:
    assert label_review(REJECTED) == "Study: AI result rejected, signed by Wilhelm Röntgen"
    single = replace(REJECTED, reader_name="Curie")
    assert label_review(single) == "Study: AI result rejected, signed by Curie"


def test_a_refusals_label_gives_the_reason_and_the_review() -> None:
    reason = RefusalReason("too-dark", "The image is too dark.")
    assert label_refusal(reason, None) == "Not analyzed: The image is too dark."
    assert label_refusal(reason, MODIFIED) == (
        "Not analyzed: The image is too dark. Study: benign, BI-RADS 2, signed by Wilhelm Röntgen"
    )
