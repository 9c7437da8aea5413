import numpy as np

from models.training.augment import augment, augment_batch


def scene() -> tuple[np.ndarray, np.ndarray]:
    pixels = np.full((96, 96), 60, np.uint8)
    lesion = np.hypot(*(np.mgrid[:96, :96] - 48.0)) < 20
    pixels[lesion] = 200
    return pixels, lesion


def test_a_seed_gives_the_same_change_and_another_seed_another() -> None:
    first, again, other = (augment(*scene(), np.random.default_rng(s)) for s in (1, 1, 2))

    assert (first[0] == again[0]).all()
    assert (first[1] == again[1]).all()
    assert (first[0] != other[0]).any()


def test_the_lesion_moves_with_its_pixels() -> None:
    for seed in range(10):
        pixels, lesion = augment(*scene(), np.random.default_rng(seed))

        assert lesion.dtype == np.bool_
        assert 0.4 * scene()[1].sum() < lesion.sum() < 2.2 * scene()[1].sum()
        assert pixels[lesion].mean() > pixels[~lesion].mean() + 60


def test_the_bottom_stays_the_bottom() -> None:
    pixels = np.zeros((96, 96), np.uint8)
    pixels[70:] = 200

    for seed in range(10):
        changed, _ = augment(pixels, pixels > 0, np.random.default_rng(seed))
        assert changed[64:].mean() > changed[:32].mean()


def test_the_original_is_left_alone() -> None:
    pixels, lesion = scene()

    augment_batch(pixels[None], lesion[None], np.random.default_rng(0))

    assert (pixels == scene()[0]).all()


def test_callipers_fall_on_images_of_any_kind() -> None:
    flat = np.full((96, 96), 10, np.uint8)
    painted = [
        bool((augment(flat, flat > 99, np.random.default_rng(seed))[0] > 200).any())
        for seed in range(20)
    ]

    assert 0 < sum(painted) < 20
