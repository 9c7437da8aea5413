"""Each destination profile as a whole: for every kind of study, its objects are built and valid."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from dicom.errors import UnknownProfile
from dicom.files import write_dataset
from dicom.results.catalogue import DEFAULT, sort_specs, verify
from dicom.results.model import RefusalReason, StudyResult
from dicom.results.profiles import DEFAULT_PROFILE, PROFILES, find_profile
from dicom.results.result_kind import ResultRole
from tests.dicom import making
from tests.dicom.conftest import Validate
from tests.dicom.proof.iod_validation import violations

SHAPE = (64, 80)
MASKS = [making.disc(SHAPE, 24, 30, 9), making.disc(SHAPE, 56, 36, 7)]


def still(folder: Path) -> StudyResult:
    """One image in space with two lesions."""
    path = making.write_image(folder / "still.dcm", changes=making.PLANE)
    lesions = [making.lesion(mask, number=n) for n, mask in enumerate(MASKS, start=1)]
    return making.study_result(
        making.image_result(path, lesions, heatmaps={1: making.heat(MASKS[0])})
    )


def cine(folder: Path) -> StudyResult:
    """Five frames, with lesions on two of them, and no place in space."""
    path = making.write_image(folder / "cine.dcm", [making.color(seed=seed) for seed in range(5)])
    lesions = [
        making.lesion(MASKS[0], number=1, frame=2),
        making.lesion(MASKS[1], number=2, frame=4),
    ]
    heat = {2: making.heat(MASKS[0]), 4: making.heat(MASKS[1])}
    return making.study_result(making.image_result(path, lesions, heatmaps=heat))


def normal(folder: Path) -> StudyResult:
    """One image without a lesion; its heat map shows what the class depends on."""
    path = making.write_image(folder / "normal.dcm")
    return making.study_result(making.image_result(path, heatmaps={1: making.heat(MASKS[0])}))


def refused(folder: Path) -> StudyResult:
    """One image, which the input gate refused."""
    path = making.write_image(folder / "refused.dcm", making.color())
    reason = RefusalReason("color-doppler", "The image shows color Doppler.")
    return making.study_result(making.image_refusal(path, reason))


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize("make", [still, cine, normal, refused])
def test_every_object_of_a_profile_is_valid_in_every_kind_of_study(
    name: str, make: Callable[[Path], StudyResult], tmp_path: Path, dciodvfy: Validate
) -> None:
    result = make(tmp_path)
    specs = {str(spec): spec for spec in PROFILES[name].specs}
    review = making.REVIEW
    if make is still:
        image = result.images[0]
        redrawn = replace(image.lesions[0], mask=making.disc(SHAPE, 26, 30, 8), origin="corrected")
        review = replace(review, outlines={image.sop_instance_uid: (redrawn, image.lesions[1])})
    built = making.build_results(specs, result)
    signed = making.build_signed_results(specs, result, review)
    for about, objects in ((None, built), (review, signed)):
        for text, datasets in objects.items():
            for dataset in datasets:
                path = write_dataset(dataset, tmp_path / "object.dcm").path
                verify(specs[text], path, dataset, result, about)
                dciodvfy(path)
                assert not violations(path)
    assert has_findings(built), "the destination learns nothing of this study"
    assert has_findings(signed), "the destination learns nothing of the review"
    if make is still:
        assert all(built.values())


def has_findings(objects: dict[str, list[Dataset]]) -> bool:
    """Whether a report or a document is among the objects."""
    return any(
        dataset.Modality in ("SR", "DOC") for datasets in objects.values() for dataset in datasets
    )


def test_a_profile_is_in_the_order_of_sending_without_repetition() -> None:
    for name, profile in PROFILES.items():
        assert profile.name == name
        assert list(profile.specs) == sort_specs(profile.specs)
        assert profile.description.endswith(".")


def test_the_default_profile_contains_what_every_analysis_creates() -> None:
    assert find_profile("general") is DEFAULT_PROFILE
    assert set(DEFAULT) <= set(DEFAULT_PROFILE.specs)


def test_profiles_differ_and_those_for_viewing_that_show_more_come_first() -> None:
    assert len({profile.specs for profile in PROFILES.values()}) == len(PROFILES)
    viewing = [set(profile.specs) for profile in PROFILES.values() if profile.for_viewing]
    for n, specs in enumerate(viewing):
        assert not any(specs < later for later in viewing[n + 1 :])


def test_no_profile_for_viewing_has_a_segmentation_that_viewers_fail_on() -> None:
    """OHIF 3.13.2 crashes on a heat map as a segmentation."""
    for profile in PROFILES.values():
        if profile.for_viewing:
            kinds = {spec.kind.name for spec in profile.specs}
            assert not kinds & {"heatmap-seg", "heatmap-pm"}
            assert {ResultRole.REPORT, ResultRole.DOCUMENT} & {spec.role for spec in profile.specs}


def test_an_unknown_profile_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownProfile) as caught:
        find_profile("ohfi")
    assert isinstance(caught.value, ValueError)
    for name in PROFILES:
        assert name in str(caught.value)
