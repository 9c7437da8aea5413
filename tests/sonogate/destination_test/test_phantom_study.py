from datetime import UTC, datetime
from pathlib import Path

from dicom.images.header import read_header
from dicom.results.catalogue import CATALOGUE
from sonogate.destination_test.phantom_study import PATIENT_ID, make_result, make_review
from tests.dicom import making

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


def test_every_kind_of_result_has_something_to_show(tmp_path: Path) -> None:
    result = make_result(tmp_path, run="1", now=NOW)
    still, cine = result.images
    assert (still.label, cine.label) == ("malignant", "malignant")
    assert still.spacing_mm == cine.spacing_mm == (0.16, 0.16)
    assert len(cine.lesions) > 1
    assert all(making.build_results(CATALOGUE, result).values())


def test_each_run_is_a_study_of_its_own_of_the_test_patient(tmp_path: Path) -> None:
    headers = []
    for run in ("1", "2"):
        folder = tmp_path / run
        folder.mkdir()
        headers += [
            read_header(image.source) for image in make_result(folder, run=run, now=NOW).images
        ]
    assert {header.patient.patient_id for header in headers} == {PATIENT_ID}
    assert len({header.study_instance_uid for header in headers}) == 2
    assert len({header.sop_instance_uid for header in headers}) == 4


def test_a_made_up_reader_corrects_one_outline_and_draws_another(tmp_path: Path) -> None:
    result = make_result(tmp_path, run="1", now=NOW)
    review = make_review(result)
    still = result.images[0]
    ((uid, (corrected, drawn)),) = review.outlines.items()
    assert uid == still.sop_instance_uid
    assert corrected.tracking_uid == still.lesions[0].tracking_uid
    assert corrected.measurements.area_px > still.lesions[0].measurements.area_px
    assert (corrected.origin, drawn.origin) == ("corrected", "drawn")
    assert not (corrected.mask & drawn.mask).any()
    assert drawn.measurements.size_mm is not None
    assert drawn.tracking_uid != corrected.tracking_uid
