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
    ResultSpec,
    Signing,
    build,
    build_set,
    build_signed_set,
    in_order,
    make_set,
    parse_spec,
    verify,
    why_left_out,
)
from dicom.results.model import ReportReference, StudyResult
from dicom.results.sr.build import reference_to
from dicom.results.sr.verify import read_back_report
from tests.dicom import making
from tests.dicom.conftest import Validate

SHAPE = (64, 80)
MASK = making.disc(SHAPE, 30, 30, 9)
EVERY_SPEC = [
    ResultSpec(name, variant, every_frame)
    for name, kind in CATALOGUE.items()
    for variant in kind.variants
    for every_frame in ([False, True] if kind.by_frame else [False])
]
NOWHERE = ReportReference("1.2.3", "1.2.4", "1.2.840.10008.5.1.4.1.1.88.33", "1.2.5")


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
    ("text", "spec"),
    [
        ("seg", ResultSpec("seg", "binary")),
        ("seg:fractional", ResultSpec("seg", "fractional")),
        ("seg:labelmap:every-frame", ResultSpec("seg", "labelmap", every_frame=True)),
        ("seg:every-frame", ResultSpec("seg", "binary", every_frame=True)),
        ("sr", ResultSpec("sr", "comprehensive")),
        (" sr:comprehensive-3d ", ResultSpec("sr", "comprehensive-3d")),
        ("heatmap-sc", ResultSpec("heatmap-sc", "native")),
        ("key-objects", ResultSpec("key-objects", "of-interest")),
    ],
)
def test_a_destination_says_in_words_what_it_wants(text: str, spec: ResultSpec) -> None:
    assert parse_spec(text) == spec


def test_every_spec_is_read_from_its_own_text() -> None:
    assert [parse_spec(str(spec)) for spec in EVERY_SPEC] == EVERY_SPEC
    assert [str(spec) for spec in DEFAULT] == ["seg", "sr"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "pdf",
            "there are seg, sr, heatmap-seg, heatmap-pm, heatmap-sc, key-objects, presentation-state",
        ),
        ("", "there are seg"),
        ("SEG", "there are seg"),
        ("seg:grayscale", "there are binary, fractional, labelmap, every-frame"),
        ("sr:every-frame", "there are comprehensive, comprehensive-3d, enhanced"),
        ("sr:enhanced:comprehensive", "there are comprehensive"),
        ("seg:", "there are binary"),
        ("seg:every-frame:every-frame", "there are binary"),
    ],
)
def test_what_is_not_made_here_is_refused_with_what_is(text: str, told: str) -> None:
    with pytest.raises(UnknownResult, match=told) as caught:
        parse_spec(text)
    assert isinstance(caught.value, ValueError)  # so that settings can name the key
    assert isinstance(caught.value, DicomError)


def test_what_is_referred_to_comes_before_what_refers_to_it() -> None:
    specs = [parse_spec(text) for text in ("key-objects", "sr", "seg", "sr", "heatmap-seg")]
    assert [str(spec) for spec in in_order(specs)] == ["seg", "sr", "heatmap-seg", "key-objects"]


def test_every_kind_in_every_variant_is_made_written_valid_and_verified(
    result: StudyResult, tmp_path: Path, dciodvfy: Validate
) -> None:
    built = build_set(EVERY_SPEC, result)
    assert list(built) == EVERY_SPEC
    for spec, objects in built.items():
        assert objects
        for one in objects:
            path = write_dataset(one, tmp_path / "object.dcm").path
            verify(spec, path, one, result)
            if spec.kind != "seg":  # these are validated form by form in test_segmentation
                dciodvfy(path)


def test_no_two_objects_share_a_uid_or_a_series(result: StudyResult) -> None:
    built = [one for objects in build_set(EVERY_SPEC, result).values() for one in objects]
    assert len({one.SOPInstanceUID for one in built}) == len(built)
    assert len({one.SeriesInstanceUID for one in built}) == len(built)


def test_series_numbers_of_one_destination_are_its_own(result: StudyResult) -> None:
    wanted = [parse_spec(name) for name in CATALOGUE]
    built = [one for objects in build_set(wanted, result).values() for one in objects]
    assert len({int(one.SeriesNumber) for one in built}) == len(built)


def test_the_pixels_of_one_object_are_in_memory_at_a_time(result: StudyResult) -> None:
    came: list[weakref.ref[Dataset]] = []
    for _, one in make_set(map(parse_spec, ("seg", "sr", "heatmap-seg", "heatmap-sc")), result):
        came.append(weakref.ref(one))
        assert sum(each() is not None for each in came) == 1
        del one
    assert len(came) == 7


def test_reports_of_another_edition_are_other_documents_about_the_same_objects(
    result: StudyResult,
) -> None:
    specs = [parse_spec(text) for text in ("seg", "sr")]
    first = [one.SOPInstanceUID for _, one in make_set(specs, result)]
    again = [one.SOPInstanceUID for _, one in make_set(specs, result, edition="seg sr")]
    assert first[:-1] == again[:-1]
    assert first[-1] != again[-1]


def test_making_a_set_again_makes_the_same_bytes(result: StudyResult) -> None:
    first, again = (build_set(EVERY_SPEC, result) for _ in range(2))
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
    built = build_set(map(parse_spec, wanted), result)
    (report,) = built[parse_spec("sr")]
    lesions = read_back_report(write_dataset(report, tmp_path / "sr.dcm").path).lesions
    there = built[parse_spec(referred)] if referred else []
    assert {lesion.segmentation_uid for lesion in lesions} - {""} == {
        str(one.SOPInstanceUID) for one in there
    }


def test_reports_that_refer_to_different_objects_are_different_objects(
    result: StudyResult,
) -> None:
    spec = parse_spec("sr")
    sets = [build_set(map(parse_spec, w), result) for w in (["sr"], ["sr", "seg"])]
    assert len({made[spec][0].SOPInstanceUID for made in sets}) == 2


def test_each_report_of_a_revision_names_its_own_predecessor(
    result: StudyResult, tmp_path: Path
) -> None:
    specs = [parse_spec(text) for text in ("sr", "sr:enhanced", "sr:comprehensive-3d")]
    first = build_set(specs, result)
    before = {spec: reference_to(first[spec][0]) for spec in specs[:2]}
    later = replace(result, analysis_id="analysis-2", predecessor=NOWHERE)
    for spec, (report,) in build_set(specs, later, before).items():
        found = read_back_report(write_dataset(report, tmp_path / "sr.dcm").path)
        assert found.predecessor_uid == before.get(spec, NOWHERE).sop_instance_uid


def test_a_revision_keeps_the_tracking_uids_of_the_same_lesions(result: StudyResult) -> None:
    later = replace(result, analysis_id="analysis-2", predecessor=NOWHERE)
    seg = parse_spec("seg")
    first, second = (build(seg, one, {}) for one in (result, later))
    assert tracking_uids(first) == tracking_uids(second)
    assert not {one.SOPInstanceUID for one in first} & {one.SOPInstanceUID for one in second}


def tracking_uids(segmentations: list[Dataset]) -> list[str]:
    return [str(segment.TrackingUID) for one in segmentations for segment in one.SegmentSequence]


def test_a_study_without_lesions_has_a_report_and_nothing_empty(tmp_path: Path) -> None:
    path = making.write_image(tmp_path / "image.dcm")
    built = build_set(EVERY_SPEC, making.study_result(making.image_result(path)))
    made = {spec.kind for spec, objects in built.items() if objects}
    assert made == {"sr"}


def test_what_is_left_out_is_told_once_with_its_reason(result: StudyResult) -> None:
    _, cine = result.images
    moving = "The header's NumberOfFrames is more than 1, and no plane is known for each frame."
    assert why_left_out(EVERY_SPEC, result) == {"heatmap-pm": [moving]}
    assert why_left_out(EVERY_SPEC, replace(result, images=(cine, cine)))["heatmap-pm"] == [moving]
    assert why_left_out([parse_spec("heatmap-seg")], result) == {}
    unseen = replace(result, images=tuple(replace(one, heatmaps={}) for one in result.images))
    assert why_left_out(EVERY_SPEC, unseen) == {}


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
    spec = parse_spec(name)
    one = build(spec, result, {})[0]
    path = write_dataset(one, tmp_path / "object.dcm").path
    damage(path)
    with pytest.raises(ReadBackMismatch):
        verify(spec, path, one, result)


# --------------------------------------------------------------------------- signing


def signing(result: StudyResult, specs: list[ResultSpec], **changes: object) -> Signing:
    published = build_set(specs, result)
    reports = {spec: reference_to(published[spec][0]) for spec in specs if spec.kind == "sr"}
    review = replace(making.REVIEW, **changes)  # type: ignore[arg-type]  # whatever the test says
    return Signing(review, published, reports)


def test_signing_makes_each_destinations_class_of_report_and_its_form_of_segmentation(
    result: StudyResult, tmp_path: Path, dciodvfy: Validate
) -> None:
    specs = [parse_spec(text) for text in ("seg:fractional", "sr:enhanced", "key-objects")]
    still, cine = result.images
    corrected = replace(still.lesions[0], mask=making.disc(SHAPE, 35, 30, 7), origin="corrected")
    signed = signing(result, specs, outlines={still.sop_instance_uid: (corrected,)})
    built = build_signed_set(specs, result, signed)
    seg, sr, key = (built[spec] for spec in specs)
    assert key == []
    assert [one.SegmentationType for one in seg] == ["FRACTIONAL"]
    assert sr[0].SOPClassUID == "1.2.840.10008.5.1.4.1.1.88.22"
    for spec in specs:
        for one in built[spec]:
            path = write_dataset(one, tmp_path / f"{spec.kind}.dcm").path
            dciodvfy(path)
            verify(spec, path, one, result, signed.review)
    found = read_back_report(tmp_path / "sr.dcm")
    published = {str(one.SOPInstanceUID) for one in signed.published[specs[0]]}
    referred = {lesion.segmentation_uid for lesion in found.lesions} - {""}
    assert str(seg[0].SOPInstanceUID) in referred
    assert len(referred & published) == 1  # the cine's, which the reader left alone
    assert cine.lesions


def test_a_report_cannot_be_signed_without_what_it_succeeds(result: StudyResult) -> None:
    spec = parse_spec("sr")
    with pytest.raises(KeyError):
        build_signed_set([spec], result, Signing(making.REVIEW, {}, {}))
