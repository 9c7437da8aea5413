import numpy as np
import pytest

from models.phantom import KINDS, Phantom, make_cine, make_phantom

LESIONS = [kind for kind in KINDS if kind != "normal"]


def small(kind: str, seed: int = 1) -> Phantom:
    return make_phantom(kind, seed=seed, height=240, width=320, spacing_mm=0.16)


def brightness_in_and_behind(phantom: Phantom) -> tuple[float, float]:
    """Mean gray level inside and below the lesion, each relative to adjacent tissue."""
    rows, columns = np.nonzero(phantom.mask)
    bottom, middle = rows.max(), int(columns.mean())
    behind = phantom.image[bottom + 4 : bottom + 24, middle - 10 : middle + 10].mean()
    level = phantom.image[rows.min() : bottom, :20].mean()
    beside = phantom.image[bottom + 4 : bottom + 24, :20].mean()
    return float(phantom.image[phantom.mask].mean() - level), float(behind - beside)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_pixels(kind: str) -> None:
    first, again, other = small(kind), small(kind), small(kind, seed=2)

    assert (first.image == again.image).all()
    assert (first.mask == again.mask).all()
    assert (first.image != other.image).any()


def test_an_image_has_the_requested_size_and_spacing() -> None:
    phantom = make_phantom("cyst", seed=3, height=200, width=310, spacing_mm=0.15)

    assert phantom.image.shape == phantom.mask.shape == (200, 310)
    assert phantom.image.dtype == np.uint8
    assert phantom.spacing_mm == 0.15
    assert phantom.image.std() > 20


def test_normal_tissue_has_no_mask() -> None:
    assert not small("normal").mask.any()


@pytest.mark.parametrize("kind", LESIONS)
@pytest.mark.parametrize("seed", range(4))
def test_a_lesion_lies_inside_the_image(kind: str, seed: int) -> None:
    mask = small(kind, seed).mask

    assert 0.01 < mask.mean() < 0.25
    assert mask[1:-1, 1:-1].sum() == mask.sum()


@pytest.mark.parametrize("seed", range(4))
def test_the_kinds_have_their_typical_echogenicity(seed: int) -> None:
    cyst, cyst_behind = brightness_in_and_behind(small("cyst", seed))
    solid, solid_behind = brightness_in_and_behind(small("fibroadenoma", seed))
    spiculated, shadow = brightness_in_and_behind(small("spiculated", seed))

    assert cyst < solid < -15
    assert spiculated < solid
    assert cyst_behind > solid_behind > shadow
    assert cyst_behind > 10
    assert shadow < -30


@pytest.mark.parametrize("seed", range(4))
def test_a_spiculated_outline_is_longer_than_an_oval_one(seed: int) -> None:
    def raggedness(phantom: Phantom) -> float:
        mask = phantom.mask
        edges = (mask[1:] != mask[:-1]).sum() + (mask[:, 1:] != mask[:, :-1]).sum()
        return float(edges / np.sqrt(mask.sum()))

    assert raggedness(small("spiculated", seed)) > 1.15 * raggedness(small("fibroadenoma", seed))


def test_a_sweep_passes_through_the_lesion() -> None:
    areas = [int(p.mask.sum()) for p in make_cine("cyst", seed=1, frames=7, height=120, width=160,
                                                  spacing_mm=0.32)]  # fmt: skip

    assert areas[0] == areas[-1] == 0
    assert areas[1] < areas[3] > areas[5] > 0


def test_adjacent_frames_of_a_sweep_are_correlated() -> None:
    frames = make_cine("normal", seed=1, frames=9, height=120, width=160, spacing_mm=0.32)
    x = [frame.image.astype(float).ravel() for frame in frames]

    assert np.corrcoef(x[4], x[5])[0, 1] > np.corrcoef(x[0], x[8])[0, 1]
    assert (frames[4].image != frames[5].image).any()


def test_an_unknown_kind_is_named() -> None:
    with pytest.raises(ValueError, match="unknown phantom kind 'lipoma'"):
        make_phantom("lipoma", seed=1)
