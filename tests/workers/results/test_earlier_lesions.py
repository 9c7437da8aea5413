from uuid import UUID, uuid4

from db.schema import Finding, FindingKind, OutlineOrigin, ReviewOutline
from workers.pipeline.identity import KnownLesion, LesionIdentity
from workers.results.earlier_lesions import collect_earlier_lesions

NEW, OLD = uuid4(), uuid4()
IMAGE, OTHER_IMAGE = uuid4(), uuid4()
SMALL = ((1.0, 1.0), (5.0, 1.0), (5.0, 5.0))
LARGE = ((0.0, 0.0), (9.0, 0.0), (9.0, 9.0))


def lesion(
    analysis: UUID,
    number: int,
    uid: str,
    contour: tuple[tuple[float, float], ...] = SMALL,
    *,
    frame: int = 1,
    image: UUID = IMAGE,
) -> Finding:
    return Finding(
        analysis_id=analysis, instance_id=image, kind=FindingKind.LESION, number=number,
        tracking_uid=uid, frame_number=frame, contour=[list(point) for point in contour],
    )  # fmt: skip


def test_a_study_without_earlier_analyses_has_no_earlier_lesions() -> None:
    earlier = collect_earlier_lesions([], [])
    assert (earlier.on_instance(IMAGE), earlier.highest_number, earlier.tracking_uids) == (
        (),
        0,
        frozenset(),
    )


def test_a_lesion_is_known_by_its_newest_outlines() -> None:
    earlier = collect_earlier_lesions(
        [
            lesion(NEW, 1, "2.25.1", LARGE, frame=2),
            lesion(NEW, 1, "2.25.1", SMALL, frame=3),
            lesion(OLD, 1, "2.25.1", SMALL, frame=2),
            lesion(OLD, 1, "2.25.1", SMALL, frame=4),
            lesion(OLD, 2, "2.25.2", LARGE, image=OTHER_IMAGE),
        ],
        [],
    )
    assert earlier.on_instance(IMAGE) == [
        KnownLesion(LesionIdentity(1, "2.25.1"), {2: LARGE, 3: SMALL})
    ]
    assert earlier.on_instance(OTHER_IMAGE) == [
        KnownLesion(LesionIdentity(2, "2.25.2"), {1: LARGE})
    ]
    assert earlier.highest_number == 2


def test_numbers_and_uids_of_drawn_lesions_are_taken() -> None:
    drawn = ReviewOutline(
        instance_id=IMAGE, frame_number=1, tracking_uid="2.25.9", number=5,
        origin=OutlineOrigin.DRAWN, contour=[],
    )  # fmt: skip
    earlier = collect_earlier_lesions([lesion(NEW, 1, "2.25.1")], [drawn])
    assert earlier.highest_number == 5
    assert earlier.tracking_uids == {"2.25.1", "2.25.9"}
    assert [known.identity.number for known in earlier.on_instance(IMAGE)] == [1]


def test_of_two_lesions_with_one_number_the_newer_keeps_it() -> None:
    earlier = collect_earlier_lesions(
        [lesion(NEW, 1, "2.25.1"), lesion(OLD, 1, "2.25.2"), lesion(OLD, 2, "2.25.3")], []
    )
    assert [known.identity for known in earlier.on_instance(IMAGE)] == [
        LesionIdentity(1, "2.25.1"),
        LesionIdentity(3, "2.25.2"),
        LesionIdentity(2, "2.25.3"),
    ]
    assert earlier.highest_number == 3
