"""Images that no one changed open in OHIF, and the page object sees what is drawn on them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom.uid import JPEGBaseline8Bit

from dicom.uids import derived_uid
from models.phantom import make_cine, make_phantom
from tests.dicom import making
from tests.peers import Orthanc
from tests.viewers.ohif import Ohif

pytestmark = pytest.mark.peer


def test_a_still_and_a_cine_open_and_show_their_frames(
    ohif: Ohif, pacs: Orthanc, tmp_path: Path
) -> None:
    study = replace(making.STUDY, study_instance_uid=derived_uid("viewers", "phantoms"))
    still = make_phantom("cyst", seed=1, height=200, width=300).image
    cine = [one.image for one in make_cine("spiculated", seed=2, frames=5)]
    pacs.store(making.write_image(tmp_path / "still.dcm", still, study=study))
    ohif.open_study(study.study_instance_uid)
    assert ohif.series() == ["B-mode"]
    assert close(ohif.shown_image(still.shape), still)

    study = replace(study, study_instance_uid=derived_uid("viewers", "cine"))
    pacs.store(
        making.write_image(
            tmp_path / "cine.dcm", cine, study=study, transfer_syntax_uid=JPEGBaseline8Bit
        )
    )
    ohif.open_study(study.study_instance_uid)
    assert ohif.frame_count == 5
    for number, frame in enumerate(cine, start=1):
        ohif.show_frame(number)
        assert close(ohif.shown_image(frame.shape), frame)
    assert not ohif.errors


def close(shown: np.ndarray, image: np.ndarray) -> bool:
    """Whether a picture shows a gray image; the viewer interpolates and sets its window."""
    correlation = np.corrcoef(shown.mean(axis=2).ravel(), image.ravel())[0, 1]
    return bool(correlation > 0.97)
