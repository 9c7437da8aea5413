"""Studies that the demo sends."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydicom.uid import JPEGBaseline8Bit

from dicom.images.header import read_header
from sonogate.demo import studies
from sonogate.demo.studies import PhantomImage
from tests.sonogate import pictures

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


def test_each_run_makes_the_phantom_studies_with_new_uids(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_study = {"normal": (PhantomImage(41, JPEGBaseline8Bit),)}  # the others take longer
    monkeypatch.setattr(studies, "PHANTOM_STUDIES", one_study)
    uids = set()
    for run in ("1", "2"):
        folder = tmp_path / run
        folder.mkdir()
        (study,) = studies.make_phantom_studies(folder, run=run, now=NOW)
        (file,) = study.files
        header = read_header(file)
        assert (study.name, study.study_instance_uid) == ("normal", header.study_instance_uid)
        uids |= {header.study_instance_uid, header.sop_instance_uid}
    assert len(uids) == 4


def test_own_files_are_grouped_by_study_and_damaged_ones_are_named(tmp_path: Path) -> None:
    data = tmp_path / "data"
    pictures.png(data / "picture.png")
    pictures.still(data / "still.dcm")
    pictures.cine(data / "cine.dcm")
    (data / "text.png").write_text("no picture")
    (data / "cut.dcm").write_bytes((data / "still.dcm").read_bytes()[:200])

    own, problems = studies.load_studies(data, tmp_path)

    assert {study.name: len(study.files) for study in own} == {"study 1": 2, "picture.png": 1}
    assert sorted(problem.partition(": ")[0] for problem in problems) == ["cut.dcm", "text.png"]
