import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dicom.results.model import LesionResult
from dicom.terms.lesions import LesionMeasurements
from workers.pipeline.lesion_probability import (
    add_probabilities,
    clear_dropped_patches,
    divide_by_lesion,
)

SHAPE = 30, 60
RAMP = np.tile(np.arange(1, 61, dtype=np.uint8), (30, 1))
Boxes = st.lists(
    st.tuples(st.integers(0, 55), st.integers(0, 25), st.integers(1, 12), st.integers(1, 12)),
    min_size=1,
    max_size=5,
)


def box(x: int, y: int = 10, width: int = 8, height: int = 8) -> NDArray[np.bool_]:
    mask = np.zeros(SHAPE, np.bool_)
    mask[y : y + height, x : x + width] = True
    return mask


def apart(boxes: list[tuple[int, int, int, int]]) -> list[NDArray[np.bool_]]:
    """The boxes, each without what an earlier one has."""
    masks: list[NDArray[np.bool_]] = []
    for x, y, width, height in boxes:
        taken = np.any([*masks, np.zeros(SHAPE, np.bool_)], axis=0)
        masks.append(box(x, y, width, height) & ~taken)
    return [mask for mask in masks if mask.any()]


def lesion(mask: NDArray[np.bool_], *, number: int, frame: int) -> LesionResult:
    square = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0))
    said = (0.1, 0.8, 0.1)
    return LesionResult(
        f"2.25.{number}", f"Lesion {number}", frame, mask, square,
        LesionMeasurements(1, 1, 1), "benign", said,
    )  # fmt: skip


@given(Boxes)
def test_the_lesions_of_a_frame_share_its_whole_map(
    boxes: list[tuple[int, int, int, int]],
) -> None:
    masks = apart(boxes)
    shares = list(divide_by_lesion(RAMP, masks))
    assert np.array_equal(np.sum(shares, axis=0), RAMP)
    assert (np.count_nonzero(shares, axis=0) == 1).all()
    for share, mask in zip(shares, masks, strict=True):
        assert np.array_equal(share[mask], RAMP[mask])


def test_a_pixel_between_two_lesions_belongs_to_the_nearer_one() -> None:
    left, right = divide_by_lesion(RAMP, [box(2), box(40)])
    assert left[14, 20] == RAMP[14, 20]
    assert right[14, 20] == 0
    assert right[14, 30] == RAMP[14, 30]


def test_a_dropped_patch_and_its_surroundings_have_no_probability() -> None:
    left = clear_dropped_patches(RAMP, box(2) | box(40), box(2))
    assert np.array_equal(left[box(2)], RAMP[box(2)])
    assert not left[:, 30:].any()
    assert (left[:, :20] == RAMP[:, :20]).all()


def test_a_map_whose_patches_are_all_outlined_is_unchanged() -> None:
    with_a_hole = box(10, 5, 20, 20) & ~box(18, 12, 3, 3)
    assert np.array_equal(clear_dropped_patches(RAMP, with_a_hole, box(10, 5, 20, 20)), RAMP)


def test_each_lesion_gets_its_part_of_the_map_of_its_frame_in_order() -> None:
    lesions = [
        lesion(box(2), number=1, frame=1),
        lesion(box(2), number=1, frame=2),
        lesion(box(40), number=2, frame=1),
    ]
    first, without, second = add_probabilities(lesions, {1: RAMP})
    assert [first.tracking_id, without.frame_number, second.tracking_id] == [
        "Lesion 1",
        2,
        "Lesion 2",
    ]
    assert without.probability is None
    assert first.probability is not None
    assert second.probability is not None
    assert np.array_equal(first.probability + second.probability, RAMP)


@pytest.mark.parametrize("frames", [{}, {7: RAMP}])
def test_lesions_on_frames_without_a_map_are_unchanged(
    frames: dict[int, NDArray[np.uint8]],
) -> None:
    [only] = add_probabilities([lesion(box(2), number=1, frame=1)], frames)
    assert only.probability is None
