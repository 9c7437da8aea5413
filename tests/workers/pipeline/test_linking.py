import numpy as np
import pytest

from models.measure import LesionOutline, find_lesions
from workers.pipeline.linking import link_lesions, overlap


def box(x: int, y: int = 20, side: int = 20) -> LesionOutline:
    mask = np.zeros((100, 200), np.bool_)
    mask[y : y + side, x : x + side] = True
    [lesion] = find_lesions(mask)
    return lesion


def test_a_lesion_that_moves_a_little_stays_the_same() -> None:
    assert link_lesions([[box(10)], [box(18)], [box(26)]]) == [[1], [1], [1]]


def test_a_lesion_elsewhere_is_another_one() -> None:
    assert link_lesions([[box(10)], [box(120)]]) == [[1], [2]]


def test_a_lesion_missed_on_one_frame_keeps_its_number() -> None:
    assert link_lesions([[box(10)], [], [box(12)]]) == [[1], [], [1]]


def test_a_lesion_missed_on_many_frames_gets_a_new_number() -> None:
    assert link_lesions([[box(10)], [], [], [box(10)]]) == [[1], [], [], [2]]


def test_two_lesions_keep_their_numbers_whatever_their_order() -> None:
    left, right = box(10), box(120)
    assert link_lesions([[left, right], [right, left]]) == [[1, 2], [2, 1]]


def test_of_two_lesions_that_overlap_the_same_one_the_nearer_gets_its_number() -> None:
    assert link_lesions([[box(50)], [box(38), box(52)]]) == [[1], [2, 1]]


def test_one_track_takes_one_lesion_of_a_frame_only() -> None:
    large = box(40, 10, 60)
    assert link_lesions([[large], [box(42), box(70)]]) == [[1], [1, 2]]


def test_frames_without_lesions_have_no_numbers() -> None:
    assert link_lesions([[], []]) == [[], []]


def test_overlap_is_a_share_of_the_smaller_lesion() -> None:
    assert overlap(box(10, side=40), box(20, side=20)) == 1.0
    assert overlap(box(10), box(20)) == pytest.approx(0.5)
    assert overlap(box(10), box(60)) == 0.0
