from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from dicom.errors import ReadBackMismatch
from dicom.files import encode, write_dataset
from dicom.results.encapsulated_pdf.text import find_shown_image
from dicom.results.encapsulated_pdf.verify import read_back_page, verify_page
from dicom.results.model import RefusalReason, StudyResult
from tests.dicom import making
from tests.dicom.conftest import Validate

ROUND = tuple((40 + 15 * np.cos(a), 30 + 15 * np.sin(a)) for a in np.linspace(0, 6, 40))


@pytest.fixture
def result(tmp_path: Path) -> StudyResult:
    """A calibrated still with a lesion beside a normal one."""
    path = making.write_image(tmp_path / "1.dcm", spacing_mm=0.1)
    lesion = making.lesion(making.disc((64, 80), 40, 30, 15), spacing_mm=0.1)
    suspicious = making.image_result(path, [replace(lesion, contour=ROUND)])
    normal = making.image_result(making.write_image(tmp_path / "2.dcm", instance_number=2))
    return making.study_result(suspicious, normal)


def write_page(result: StudyResult, folder: Path) -> Path:
    (page,) = making.build_objects("encapsulated-pdf", result)
    return write_dataset(page, folder / "page.dcm").path


def test_every_kind_of_image_gets_a_valid_page(
    case: making.Case, tmp_path: Path, dciodvfy: Validate
) -> None:
    path = write_page(case.result(), tmp_path)
    dciodvfy(path)
    verify_page(path, case.result())


def test_it_states_patient_class_measurements_and_software(
    result: StudyResult, tmp_path: Path
) -> None:
    page = verify_page(write_page(result, tmp_path), result)
    assert "PatientMüllerÄnne" in page.text
    assert "malignant(70.0%)" in page.text
    assert "Lesion13.0x3.0mm" in page.text
    assert "sonogate-busi0.1.0" in page.text
    assert "Researchsoftware,notamedicaldevice" in page.text
    assert page.source_uids == {image.sop_instance_uid for image in result.images}


def test_its_attributes_are_those_of_an_encapsulated_pdf(
    result: StudyResult, tmp_path: Path
) -> None:
    page = pydicom.dcmread(write_page(result, tmp_path))
    assert page.SOPClassUID == "1.2.840.10008.5.1.4.1.1.104.1"
    assert page.MIMETypeOfEncapsulatedDocument == "application/pdf"
    assert page.BurnedInAnnotation == "YES"
    assert page.DocumentTitle == "Breast ultrasound, AI analysis (UNVERIFIED)"
    assert page.ConceptNameCodeSequence[0].CodeValue == "126000"
    assert len(page.EncapsulatedDocument) - page.EncapsulatedDocumentLength in (0, 1)


def test_building_again_gives_the_same_bytes(result: StudyResult) -> None:
    (first,), (again,) = (making.build_objects("encapsulated-pdf", result) for _ in range(2))
    assert encode(first) == encode(again)


def test_an_undecided_study_states_no_class(result: StudyResult, tmp_path: Path) -> None:
    undecided = replace(result, undecided=True)
    page = verify_page(write_page(undecided, tmp_path), undecided)
    assert "Classundecided" in page.text
    assert "Classmalignant" not in page.text


def test_a_study_of_refused_images_has_a_page(tmp_path: Path, dciodvfy: Validate) -> None:
    path = making.write_image(tmp_path / "1.dcm")
    refusal = making.image_refusal(path, RefusalReason("too-small", "The image is too small."))
    result = making.study_result(refusal)
    page = write_page(result, tmp_path)
    dciodvfy(page)
    assert "Noimageofthisstudycouldbeanalyzed" in verify_page(page, result).text


@pytest.mark.parametrize("decision", ["accept", "modify", "reject"])
def test_a_signed_page_names_reader_decision_bi_rads_and_time(
    result: StudyResult, tmp_path: Path, dciodvfy: Validate, decision: str
) -> None:
    review = replace(making.REVIEW, decision=decision)  # type: ignore[arg-type]  # a decision
    signed = making.build_signed_results(["encapsulated-pdf"], result, review)
    (page,) = signed["encapsulated-pdf"]
    path = write_dataset(page, tmp_path / "signed.dcm").path
    dciodvfy(path)
    text = verify_page(path, result, review).text
    assert "VERIFIED" in text
    assert "RöntgenWilhelm" in text
    assert "BI-RADScategory4C" in text
    assert "2026-05-0608:08+0200" in text
    assert ("Lesion1" in text) == (decision != "reject")
    assert page.VerificationFlag == "VERIFIED"
    assert page.ContentTime == "080809"


@pytest.mark.parametrize(
    "name",
    [
        "Yamada^Tarou=山田^太郎=やまだ^たろう",
        "Hong^Gildong=洪^吉洞=홍^길동",
        "Люкceмбypг",
        "محمد^علي",
        "ก^ข",
    ],
)
def test_names_in_any_script_are_accepted(tmp_path: Path, name: str) -> None:
    changes = {"SpecificCharacterSet": "ISO_IR 192", "PatientName": name}
    path = making.write_image(tmp_path / "1.dcm", changes=changes)
    result = making.study_result(making.image_result(path))
    page = write_page(result, tmp_path)
    verify_page(page, result)
    assert str(pydicom.dcmread(page).PatientName) == name


def flag_as_verified(page: Dataset) -> None:
    page.VerificationFlag = "VERIFIED"


def change_the_type(page: Dataset) -> None:
    page.MIMETypeOfEncapsulatedDocument = "text/plain"


def drop_an_image(page: Dataset) -> None:
    del page.SourceInstanceSequence[0]


def change_the_patient(page: Dataset) -> None:
    page.PatientID = "OTHER"


def truncate(page: Dataset) -> None:
    page.EncapsulatedDocument = page.EncapsulatedDocument[:500]


@pytest.mark.parametrize(
    "damage",
    [flag_as_verified, change_the_type, drop_an_image, change_the_patient, truncate],
)
def test_a_damaged_page_is_noticed(
    result: StudyResult, tmp_path: Path, damage: Callable[[Dataset], None]
) -> None:
    (page,) = making.build_objects("encapsulated-pdf", result)
    damage(page)
    with pytest.raises(ReadBackMismatch):
        verify_page(write_dataset(page, tmp_path / "page.dcm").path, result)


def test_a_page_of_another_result_is_noticed(result: StudyResult, tmp_path: Path) -> None:
    path = write_page(result, tmp_path)
    with pytest.raises(ReadBackMismatch):
        verify_page(path, replace(result, label="benign"))
    with pytest.raises(ReadBackMismatch):
        verify_page(path, result, making.REVIEW)


def test_an_image_is_no_page(result: StudyResult) -> None:
    with pytest.raises(ReadBackMismatch, match="cannot be parsed"):
        read_back_page(result.images[0].source)


def test_the_page_shows_a_malignant_image_before_a_benign_one_of_higher_probability(
    tmp_path: Path,
) -> None:
    """The order of decision 3: class before probability."""
    malignant = making.image_result(
        making.write_image(tmp_path / "malignant.dcm", instance_number=1),
        label="malignant",
        probabilities=(0.28, 0.34, 0.38),
    )
    benign = making.image_result(
        making.write_image(tmp_path / "benign.dcm", instance_number=2),
        label="benign",
        probabilities=(0.0, 0.55, 0.45),
    )
    assert find_shown_image(making.study_result(benign, malignant)) is malignant
