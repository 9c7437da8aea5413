"""Every object of the profile `ohif` opens in OHIF, for each kind of study that has images."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from dicom.files import write_dataset
from dicom.results.model import StudyResult
from dicom.results.profiles import PROFILES
from dicom.uids import derived_uid
from models.phantom import Phantom, make_cine, make_phantom
from tests.dicom import making
from tests.peers import Orthanc
from tests.viewers.ohif import Ohif

pytestmark = pytest.mark.peer
SPECS = tuple(map(str, PROFILES["ohif"].specs))


def still() -> list[Phantom]:
    return [make_phantom("spiculated", seed=31, height=240, width=320)]


def cine() -> list[Phantom]:
    return make_cine("spiculated", seed=32, frames=4, height=240, width=320)


def normal() -> list[Phantom]:
    return [make_phantom("normal", seed=33, height=240, width=320)]


def analyze(phantoms: list[Phantom], study_instance_uid: str, folder: Path) -> StudyResult:
    """Return an analysis that finds the lesion of every phantom."""
    frames = [phantom.image for phantom in phantoms]
    study = replace(making.STUDY, study_instance_uid=study_instance_uid)
    pixels = frames if len(frames) > 1 else frames[0]
    path = making.write_image(folder / "image.dcm", pixels, study=study)
    masks = {number: one.mask for number, one in enumerate(phantoms, start=1) if one.mask.any()}
    lesions = [making.lesion(mask, frame=number) for number, mask in masks.items()]
    heatmaps = {number: making.heat(mask) for number, mask in masks.items()}
    image = making.image_result(path, lesions, heatmaps=heatmaps)
    return making.study_result(image, analysis_id=study_instance_uid)


@pytest.mark.parametrize("make", [still, cine, normal])
def test_every_object_opens_without_a_page_error(
    make: Callable[[], list[Phantom]], ohif: Ohif, pacs: Orthanc, tmp_path: Path
) -> None:
    study_instance_uid = derived_uid("viewers-profile", make.__name__)
    result = analyze(make(), study_instance_uid, tmp_path)
    pacs.store(result.images[0].source)
    has_image = {}
    for built in (making.build_results(SPECS, result), making.build_signed_results(SPECS, result)):
        for dataset in (dataset for datasets in built.values() for dataset in datasets):
            has_image[str(dataset.SeriesDescription)] = "Rows" in dataset
            pacs.store(write_dataset(dataset, tmp_path / "object.dcm").path)
    # the reports unsigned and signed, and where there is a lesion the other results too
    assert len(has_image) == (2 if make is normal else 1 + len(SPECS))

    ohif.open_study(study_instance_uid)
    assert set(has_image) <= set(ohif.series())
    for description, image in has_image.items():
        ohif.load(description, image=image)
    assert [error for error in ohif.errors if error.startswith("page error")] == []
