import numpy as np

from models.territory import territories


def test_each_pixel_is_of_the_patch_that_is_nearest() -> None:
    patches = np.zeros((3, 9), np.int32)
    patches[1, 1], patches[0, 7] = 1, 2
    found = territories(patches)
    assert (found[:, :4] == 1).all()
    assert (found[:, 5:] == 2).all()


def test_where_there_is_no_patch_no_pixel_is_of_one() -> None:
    assert not territories(np.zeros((4, 5), np.int32)).any()
