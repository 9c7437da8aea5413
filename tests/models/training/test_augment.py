import numpy as np

from models.recipe import AugmentSpec
from models.training.augment import (
    augment_generic_batch,
    augment_ultrasound,
    augment_ultrasound_batch,
)


def scene() -> tuple[np.ndarray, np.ndarray]:
    pixels = np.full((96, 96), 60, np.uint8)
    lesion = np.hypot(*(np.mgrid[:96, :96] - 48.0)) < 20
    pixels[lesion] = 200
    return pixels, lesion


def test_augmentation_depends_on_the_seed_only() -> None:
    first, again, other = (
        augment_ultrasound(*scene(), np.random.default_rng(s)) for s in (1, 1, 2)
    )

    assert (first[0] == again[0]).all()
    assert (first[1] == again[1]).all()
    assert (first[0] != other[0]).any()


def test_the_mask_is_transformed_with_the_image() -> None:
    for seed in range(10):
        pixels, lesion = augment_ultrasound(*scene(), np.random.default_rng(seed))

        assert lesion.dtype == np.bool_
        assert 0.4 * scene()[1].sum() < lesion.sum() < 2.2 * scene()[1].sum()
        assert pixels[lesion].mean() > pixels[~lesion].mean() + 60


def test_images_are_not_flipped_vertically() -> None:
    pixels = np.zeros((96, 96), np.uint8)
    pixels[70:] = 200

    for seed in range(10):
        changed, _ = augment_ultrasound(pixels, pixels > 0, np.random.default_rng(seed))
        assert changed[64:].mean() > changed[:32].mean()


def test_the_original_image_is_not_changed() -> None:
    pixels, lesion = scene()

    augment_ultrasound_batch(pixels[None], lesion[None], np.random.default_rng(0))

    assert (pixels == scene()[0]).all()


def test_calipers_are_painted_on_some_images() -> None:
    flat = np.full((96, 96), 10, np.uint8)
    painted = [
        bool((augment_ultrasound(flat, flat > 99, np.random.default_rng(seed))[0] > 200).any())
        for seed in range(20)
    ]

    assert 0 < sum(painted) < 20


def test_generic_augmentation_is_off_by_default() -> None:
    pixels, lesions = np.zeros((2, 8, 8), np.uint8), np.zeros((2, 8, 8), np.bool_)

    assert (
        augment_generic_batch(pixels, lesions, AugmentSpec(), np.random.default_rng(0))[0] is pixels
    )


def test_generic_augmentation_transforms_the_mask_with_the_image() -> None:
    rows, columns = np.mgrid[:64, :64]
    lesion = np.hypot(rows - 20, columns - 40) < 10
    spec = AugmentSpec(
        horizontal_flip=True,
        vertical_flip=True,
        rotation_deg=20,
        shift_fraction=0.1,
        zoom=0.1,
        shear_deg=10,
    )
    color = np.repeat(np.where(lesion, 200, 50)[..., None], 3, -1).astype(np.uint8)
    rng = np.random.default_rng(0)

    pixels, lesions = augment_generic_batch(
        np.stack([color] * 8), np.stack([lesion] * 8), spec, rng
    )

    assert pixels.shape == (8, 64, 64, 3)
    for image, moved in zip(pixels, lesions, strict=True):
        assert ((image[..., 0] > 125) != moved).mean() < 0.02
        assert (moved != lesion).any()


def test_brightness_and_contrast_do_not_change_the_mask() -> None:
    pixels = np.tile(np.arange(0, 250, 10, dtype=np.uint8), (4, 25, 1))
    lesions = pixels > 100

    lit, unmoved = augment_generic_batch(
        pixels, lesions, AugmentSpec(brightness=0.2, contrast=0.2), np.random.default_rng(0)
    )

    assert np.array_equal(unmoved, lesions)
    assert len({float(image.mean()) for image in lit}) == 4
    assert (np.diff(lit.astype(int), axis=-1) >= 0).all()
