import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from dicom.errors import DicomError, ReadBackMismatch, UnknownResult
from dicom.files import encode, write_dataset
from dicom.results.catalogue import (
    CATALOGUE,
    DEFAULT,
    build_set,
    build_signed_set,
    find_omissions,
    parse_spec,
    sort_specs,
    verify,
)
from dicom.results.model import StudyResult
from dicom.results.result_kind import ResultRole, ResultSpec, SigningInputs
from dicom.results.sr.verify import read_back_report
from tests.dicom import making
from tests.dicom.conftest import Validate

SHAPE = (64, 80)
MASK = making.disc(SHAPE, 30, 30, 9)
EVERY_SPEC = [
    str(ResultSpec(kind, variant, options))
    for kind in CATALOGUE.values()
    for variant in kind.variants
    for options in ((), *((option,) for option in kind.options))
]


def a_study(folder: Path) -> StudyResult:
    """A still in space with one lesion, and a cine with two, on frames 2 and 3."""
    still = making.write_image(folder / "still.dcm", changes=making.PLANE)
    frames = [making.color(seed=seed) for seed in range(4)]
    cine = making.write_image(folder / "cine.dcm", frames, instance_number=2)
    heat = making.heat(MASK)
    return making.study_result(
        making.image_result(still, [making.lesion(MASK)], heatmaps={1: heat}),
        making.image_result(
            cine,
            [making.lesion(MASK, number=number, frame=number) for number in (2, 3)],
            heatmaps={2: heat, 3: heat},
        ),
    )


@pytest.fixture
def result(tmp_path: Path) -> StudyResult:
    return a_study(tmp_path)


@pytest.mark.parametrize(
    ("text", "kind", "variant", "options"),
    [
        ("seg", "seg", "occupancy", ()),
        ("seg:fractional", "seg", "fractional", ()),
        ("seg:labelmap:every-frame", "seg", "labelmap", ("every-frame",)),
        ("seg:every-frame", "seg", "occupancy", ("every-frame",)),
        ("seg:binary", "seg", "binary", ()),
        ("sr", "sr", "comprehensive", ()),
        (" sr:comprehensive-3d ", "sr", "comprehensive-3d", ()),
        ("heatmap-sc", "heatmap-sc", "native", ()),
        ("key-objects", "key-objects", "of-interest", ()),
    ],
)
def test_a_spec_is_a_kind_a_variant_and_options(
    text: str, kind: str, variant: str, options: tuple[str, ...]
) -> None:
    spec = parse_spec(text)
    assert (spec.kind, spec.variant, spec.options) == (CATALOGUE[kind], variant, options)


def test_every_spec_is_parsed_from_its_own_text() -> None:
    assert [str(parse_spec(text)) for text in EVERY_SPEC] == EVERY_SPEC
    assert [str(spec) for spec in DEFAULT] == ["seg", "sr"]


def test_what_is_stored_names_the_variant_even_if_it_is_the_default() -> None:
    """Otherwise it would become something else when a later release has another default."""
    for spec in map(parse_spec, EVERY_SPEC):
        assert spec.explicit_text.split(":")[1] == spec.variant
        assert parse_spec(spec.explicit_text) == spec
    assert parse_spec("sr").explicit_text == "sr:comprehensive"


def test_segmentations_come_before_the_reports_that_refer_to_them() -> None:
    roles = [kind.role for kind in CATALOGUE.values()]
    last_segmentation = max(n for n, role in enumerate(roles) if role is ResultRole.SEGMENTATION)
    assert last_segmentation < roles.index(ResultRole.REPORT)


def test_a_kind_that_a_signed_review_adds_to_can_verify_it() -> None:
    for kind in CATALOGUE.values():
        assert (kind.build_signed is None) == (kind.verify_signed is None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "pdf",
            "seg, sr, heatmap-seg, heatmap-pm, heatmap-sc, key-objects, presentation-state, encapsulated-pdf",
        ),
        ("", "Use one of: seg"),
        ("SEG", "Use one of: seg"),
        ("seg:grayscale", "Use one of: occupancy, binary, fractional, labelmap, every-frame"),
        ("sr:every-frame", "Use one of: comprehensive, comprehensive-3d, enhanced"),
        ("sr:enhanced:comprehensive", "Use one of: comprehensive"),
        ("seg:", "Use one of: occupancy"),
        ("seg:every-frame:every-frame", "Use one of: occupancy"),
    ],
)
def test_an_unknown_spec_is_refused_with_the_known_ones(text: str, message: str) -> None:
    with pytest.raises(UnknownResult, match=message) as caught:
        parse_spec(text)
    assert isinstance(caught.value, ValueError)  # so that settings can name the key
    assert isinstance(caught.value, DicomError)


def test_specs_are_sorted_in_the_order_of_sending() -> None:
    specs = [parse_spec(text) for text in ("key-objects", "sr", "seg", "sr", "heatmap-seg")]
    assert [str(spec) for spec in sort_specs(specs)] == ["seg", "sr", "heatmap-seg", "key-objects"]


def test_every_kind_in_every_variant_is_made_written_valid_and_verified(
    result: StudyResult, tmp_path: Path, dciodvfy: Validate
) -> None:
    for text, objects in making.build_results(EVERY_SPEC, result).items():
        assert objects
        spec = parse_spec(text)
        for one in objects:
            path = write_dataset(one, tmp_path / "object.dcm").path
            verify(spec, path, one, result)
            if spec.role is not ResultRole.SEGMENTATION:  # seg/test_variants.py validates these
                dciodvfy(path)


def test_no_two_objects_share_a_uid_or_a_series(result: StudyResult) -> None:
    built = [one for _, one in build_set(map(parse_spec, EVERY_SPEC), result)]
    assert len({one.SOPInstanceUID for one in built}) == len(built)
    assert len({one.SeriesInstanceUID for one in built}) == len(built)


def test_series_numbers_of_one_destination_are_its_own(result: StudyResult) -> None:
    built = [one for _, one in build_set(map(parse_spec, CATALOGUE), result)]
    assert len({int(one.SeriesNumber) for one in built}) == len(built)


def test_the_pixels_of_one_object_are_in_memory_at_a_time(result: StudyResult) -> None:
    came: list[weakref.ref[Dataset]] = []
    for _, one in build_set(map(parse_spec, ("seg", "sr", "heatmap-seg", "heatmap-sc")), result):
        came.append(weakref.ref(one))
        assert sum(each() is not None for each in came) == 1
        del one
    assert len(came) == 7


def test_reports_of_another_edition_are_other_documents_about_the_same_objects(
    result: StudyResult,
) -> None:
    specs = [parse_spec(text) for text in ("seg", "sr")]
    first = [one.SOPInstanceUID for _, one in build_set(specs, result)]
    again = [one.SOPInstanceUID for _, one in build_set(specs, result, edition="seg sr")]
    assert first[:-1] == again[:-1]
    assert first[-1] != again[-1]


def test_making_a_set_again_makes_the_same_bytes(result: StudyResult) -> None:
    first, again = (making.build_results(EVERY_SPEC, result) for _ in range(2))
    for spec in EVERY_SPEC:
        assert [encode(one) for one in first[spec]] == [encode(one) for one in again[spec]]


@pytest.mark.parametrize(
    ("wanted", "referred"),
    [
        (("seg", "sr"), "seg"),
        (("seg:fractional", "sr"), "seg:fractional"),
        (("seg:labelmap", "seg:fractional", "seg", "sr"), "seg"),
        (("seg:labelmap", "sr"), None),
        (("sr",), None),
    ],
)
def test_a_report_refers_to_the_plainest_segmentations_that_its_destination_gets(
    result: StudyResult, tmp_path: Path, wanted: tuple[str, ...], referred: str | None
) -> None:
    built = making.build_results(wanted, result)
    (report,) = built["sr"]
    lesions = read_back_report(write_dataset(report, tmp_path / "sr.dcm").path).lesions
    there = built[referred] if referred else []
    assert {lesion.segmentation_uid for lesion in lesions} - {""} == {
        str(one.SOPInstanceUID) for one in there
    }


def test_reports_that_refer_to_different_objects_are_different_objects(
    result: StudyResult,
) -> None:
    sets = [making.build_results(specs, result) for specs in (["sr"], ["sr", "seg"])]
    assert len({built["sr"][0].SOPInstanceUID for built in sets}) == 2


def test_each_report_of_a_revision_names_its_own_predecessor(
    result: StudyResult, tmp_path: Path
) -> None:
    specs = ("sr", "sr:enhanced", "sr:comprehensive-3d")
    first = making.build_results(specs, result)
    before = {spec: first[spec][0] for spec in specs[:2]}
    later = replace(result, analysis_id="analysis-2")
    for spec, (report,) in making.build_results(specs, later, before).items():
        found = read_back_report(write_dataset(report, tmp_path / "sr.dcm").path)
        expected = str(before[spec].SOPInstanceUID) if spec in before else None
        assert found.predecessor_uid == expected


def test_a_revision_keeps_the_tracking_uids_of_the_same_lesions(result: StudyResult) -> None:
    later = replace(result, analysis_id="analysis-2")
    first, second = (making.build_objects("seg", one) for one in (result, later))
    assert tracking_uids(first) == tracking_uids(second)
    assert not {one.SOPInstanceUID for one in first} & {one.SOPInstanceUID for one in second}


def tracking_uids(segmentations: list[Dataset]) -> list[str]:
    return [str(segment.TrackingUID) for one in segmentations for segment in one.SegmentSequence]


def test_a_study_without_lesions_has_a_report_and_nothing_empty(tmp_path: Path) -> None:
    path = making.write_image(tmp_path / "image.dcm")
    result = making.study_result(making.image_result(path))
    built = {spec.role for spec, _ in build_set(map(parse_spec, EVERY_SPEC), result)}
    assert built == {ResultRole.REPORT, ResultRole.DOCUMENT}


def test_an_omission_is_named_once_with_its_reason(result: StudyResult) -> None:
    _, cine = result.images
    specs = [parse_spec(text) for text in EVERY_SPEC]
    moving = "The header's NumberOfFrames is more than 1, and no plane is known for each frame."
    assert find_omissions(specs, result) == {"heatmap-pm": [moving]}
    cines = replace(result, images=(cine, cine))
    assert find_omissions(specs, cines)["heatmap-pm"] == [moving]
    assert find_omissions([parse_spec("heatmap-seg")], result) == {}
    cold = replace(result, images=tuple(replace(one, heatmaps={}) for one in result.images))
    assert find_omissions(specs, cold) == {}


def lose_the_last_byte(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def change_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("damage", [lose_the_last_byte, change_a_byte])
@pytest.mark.parametrize("name", CATALOGUE)
def test_damage_on_disk_is_noticed_in_every_kind(
    result: StudyResult, tmp_path: Path, name: str, damage: Callable[[Path], None]
) -> None:
    one = making.build_objects(name, result)[0]
    path = write_dataset(one, tmp_path / "object.dcm").path
    damage(path)
    with pytest.raises(ReadBackMismatch):
        verify(parse_spec(name), path, one, result)


# --------------------------------------------------------------------------- signing


def test_signing_builds_the_variants_that_the_destination_has(
    result: StudyResult, tmp_path: Path, dciodvfy: Validate
) -> None:
    specs = ("seg:fractional", "sr:enhanced", "key-objects")
    still, cine = result.images
    corrected = replace(still.lesions[0], mask=making.disc(SHAPE, 35, 30, 7), origin="corrected")
    review = replace(making.REVIEW, outlines={still.sop_instance_uid: (corrected,)})
    built = making.build_signed_results(specs, result, review)
    assert built["key-objects"] == []
    (segmentation,), (report,) = built["seg:fractional"], built["sr:enhanced"]
    assert segmentation.SegmentationType == "FRACTIONAL"
    assert report.SOPClassUID == "1.2.840.10008.5.1.4.1.1.88.22"
    for spec, dataset in (("seg:fractional", segmentation), ("sr:enhanced", report)):
        path = write_dataset(dataset, tmp_path / f"{spec}.dcm").path
        dciodvfy(path)
        verify(parse_spec(spec), path, dataset, result, review)
    lesions = read_back_report(path).lesions
    referred = {lesion.segmentation_uid for lesion in lesions} - {""}
    published = making.build_objects("seg:fractional", result)
    assert str(segmentation.SOPInstanceUID) in referred
    # that of the cine, whose outlines the reader did not change
    assert len(referred & {str(one.SOPInstanceUID) for one in published}) == 1
    assert cine.lesions


def test_a_report_cannot_be_signed_without_a_predecessor(result: StudyResult) -> None:
    with pytest.raises(KeyError):
        list(build_signed_set([parse_spec("sr")], result, SigningInputs(making.REVIEW, {}, {})))
