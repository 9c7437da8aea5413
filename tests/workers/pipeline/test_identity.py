import random
from collections.abc import Mapping

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from workers.pipeline.identity import (
    KnownLesion,
    LesionIdentity,
    MasksByLesion,
    identify_lesions,
    match_lesions,
)

SHAPE = 60, 80
Box = tuple[int, int, int, int]
"""x, y, width, height."""

boxes = st.tuples(
    st.integers(0, 60), st.integers(0, 40), st.integers(4, 20), st.integers(4, 20)
)  # fmt: skip
lesions = st.dictionaries(st.integers(1, 4), boxes, min_size=1, max_size=3)
"""One lesion by frame."""
images = st.lists(lesions, max_size=5)


def mask(box: Box) -> NDArray[np.bool_]:
    x, y, width, height = box
    found = np.zeros(SHAPE, np.bool_)
    found[y : y + height, x : x + width] = True
    return found


def seen(*each: Mapping[int, Box]) -> MasksByLesion:
    """Lesions of one image, numbered from 1."""
    return {
        number: {frame: mask(box) for frame, box in lesion.items()}
        for number, lesion in enumerate(each, 1)
    }


def known(name: LesionIdentity, lesion: Mapping[int, Box]) -> KnownLesion:
    return KnownLesion(
        name,
        {
            frame: [(x, y), (x + w, y), (x + w, y + h), (x, y + h)]
            for frame, (x, y, w, h) in lesion.items()
        },
    )


def remembered(
    image: list[dict[int, Box]], names: Mapping[int, LesionIdentity]
) -> list[KnownLesion]:
    return [known(names[index], lesion) for index, lesion in enumerate(image, 1)]


def uid_of(number: int) -> str:
    return f"2.25.{number}"


def named(
    image: MasksByLesion, past: list[KnownLesion], highest: int | None = None
) -> dict[int, LesionIdentity]:
    if highest is None:
        highest = max((lesion.identity.number for lesion in past), default=0)
    used = {lesion.identity.tracking_uid for lesion in past}
    return identify_lesions(image, past, highest, used, uid_of)


LEFT, RIGHT = {1: (5, 20, 15, 15)}, {1: (45, 20, 15, 15)}


def test_the_first_analysis_continues_the_numbers_of_earlier_images() -> None:
    names = identify_lesions(seen(LEFT, RIGHT), [], 3, frozenset(), uid_of)
    assert names == {1: LesionIdentity(4, "2.25.1"), 2: LesionIdentity(5, "2.25.2")}


def test_lesions_in_another_order_keep_their_identity() -> None:
    past = [known(LesionIdentity(1, "2.25.1"), LEFT), known(LesionIdentity(2, "2.25.2"), RIGHT)]
    grown = {1: (43, 18, 19, 19)}
    assert named(seen(grown, LEFT), past) == {1: past[1].identity, 2: past[0].identity}


def test_a_lesion_drawn_much_smaller_is_the_same() -> None:
    past = [known(LesionIdentity(7, "2.25.9"), {1: (5, 20, 20, 20)})]
    assert named(seen({1: (10, 25, 8, 8)}), past) == {1: past[0].identity}


def test_a_lesion_that_hardly_touches_a_known_one_is_new() -> None:
    past = [known(LesionIdentity(1, "2.25.1"), LEFT)]
    assert named(seen({1: (19, 20, 15, 15)}), past) == {1: LesionIdentity(2, "2.25.2")}


def test_a_lesion_on_other_frames_only_is_new() -> None:
    past = [known(LesionIdentity(1, "2.25.1"), LEFT)]
    assert named(seen({2: LEFT[1]}), past) == {1: LesionIdentity(2, "2.25.2")}


def test_one_frame_in_common_is_enough() -> None:
    past = [known(LesionIdentity(1, "2.25.1"), {1: LEFT[1], 2: LEFT[1], 3: LEFT[1]})]
    assert named(seen({3: LEFT[1], 4: RIGHT[1]}), past) == {1: past[0].identity}


def test_of_two_parts_of_a_known_lesion_the_larger_keeps_its_identity() -> None:
    past = [known(LesionIdentity(1, "2.25.1"), {1: (5, 20, 20, 20)})]
    small, large = {1: (5, 20, 6, 20)}, {1: (12, 20, 13, 20)}
    assert named(seen(small, large), past) == {1: LesionIdentity(2, "2.25.2"), 2: past[0].identity}


def test_no_number_and_no_uid_is_given_to_another_lesion() -> None:
    gone = known(LesionIdentity(2, "2.25.1"), LEFT)
    names = identify_lesions(seen(RIGHT), [gone], 5, {"2.25.1", "2.25.2"}, uid_of)
    assert names == {1: LesionIdentity(6, "2.25.3")}


@given(images)
def test_the_same_lesions_keep_their_identity(image: list[dict[int, Box]]) -> None:
    apart = [lesion for n, lesion in enumerate(image) if lesion not in image[:n]]
    names = named(seen(*apart), [])
    again = named(seen(*apart), remembered(apart, names))
    assert again == names


@given(images, images, st.randoms(use_true_random=False))
def test_identities_do_not_depend_on_the_order_of_known_lesions(
    before: list[dict[int, Box]], after: list[dict[int, Box]], chance: random.Random
) -> None:
    past = remembered(before, named(seen(*before), []))
    names = named(seen(*after), past)
    chance.shuffle(past)
    assert named(seen(*after), past) == names


@given(images, images, st.integers(0, 20))
def test_no_two_lesions_share_an_identity_and_new_ones_are_new(
    before: list[dict[int, Box]], after: list[dict[int, Box]], more: int
) -> None:
    past = remembered(before, named(seen(*before), []))
    highest = len(past) + more
    image = seen(*after)
    names, same = named(image, past, highest), match_lesions(image, past)
    assert len({name.number for name in names.values()}) == len(after)
    assert len({name.tracking_uid for name in names.values()}) == len(after)
    used = {lesion.identity.tracking_uid for lesion in past}
    for index, name in names.items():
        if index in same:
            assert name == same[index].identity
        else:
            assert name.number > highest
            assert name.tracking_uid not in used
    fresh = [name.number for index, name in names.items() if index not in same]
    assert sorted(fresh) == list(range(highest + 1, highest + 1 + len(fresh)))
