from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.training.dataset import read_samples
from models.training.duplicates import find_groups
from models.types import DatasetError


def save(file: Path, pixels: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(file)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two images of each class in the layout of BUSI; one benign with two lesions."""
    gray = np.full((20, 40), 100, np.uint8)
    for name in ("normal", "benign", "malignant"):
        for number in (1, 2):
            save(tmp_path / name / f"{name} ({number}).png", gray)
            save(tmp_path / name / f"{name} ({number})_mask.png", np.zeros((20, 40), np.uint8))
    for suffix, columns in (("", slice(2, 8)), ("_1", slice(30, 36))):
        mask = np.zeros((20, 40), np.bool_)
        mask[5:15, columns] = True
        save(tmp_path / "benign" / f"benign (1)_mask{suffix}.png", mask)
    return tmp_path


def test_folders_without_a_manifest_are_dealt_into_folds(folder: Path) -> None:
    samples = read_samples(folder, folds=2)

    assert [(x.label, x.fold) for x in samples] == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)]
    assert len({x.duplicate_group for x in samples}) == 6


def test_the_masks_of_all_lesions_are_joined(folder: Path) -> None:
    two_lesions = read_samples(folder)[2]

    pixels, lesion = two_lesions.read()

    assert len(two_lesions.masks) == 2
    assert pixels.shape == lesion.shape == (20, 40)
    assert lesion.sum() == 2 * 60


def test_a_manifest_says_fold_group_and_conflict(folder: Path) -> None:
    (folder / "manifest.csv").write_text(
        "image,class,duplicate_group,fold,label_conflict\n"
        "benign/benign (1).png,benign,7,3,0\n"
        "benign/benign (2).png,benign,7,3,1\n"
    )

    (sample,) = read_samples(folder)

    assert (sample.label, sample.duplicate_group, sample.fold) == (1, 7, 3)


@pytest.mark.parametrize(
    "row",
    ["benign/a.png,benignant,1,0,0", "benign/a.png,benign,one,0,0", "benign/a.png,benign,1,0,x"],
)
def test_a_wrong_manifest_is_named(folder: Path, row: str) -> None:
    header = "image,class,duplicate_group,fold,label_conflict\n"
    (folder / "manifest.csv").write_text(header + row + "\n")

    with pytest.raises(DatasetError, match=r"manifest\.csv: missing or wrong value"):
        read_samples(folder)


def test_a_folder_without_classes_is_no_data_set(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no images in folders named normal, benign, malignant"):
        read_samples(tmp_path)


def test_a_mask_of_another_size_is_named(folder: Path) -> None:
    save(folder / "benign" / "benign (1)_mask_1.png", np.zeros((21, 40), np.uint8))

    with pytest.raises(DatasetError, match=r"benign \(1\)_mask_1\.png is not of the size"):
        read_samples(folder)[2].read()


def test_a_broken_image_is_named(folder: Path) -> None:
    (folder / "normal" / "normal (1).png").write_bytes(b"no image")

    with pytest.raises(DatasetError, match=r"normal \(1\)\.png cannot be read"):
        read_samples(folder)[0].read()


def test_no_duplicates_lie_on_both_sides_of_a_split(shared_data: Path) -> None:
    samples = read_samples(shared_data / "busi")
    folds_of_group: dict[int, set[int]] = {}
    for sample in samples:
        folds_of_group.setdefault(sample.duplicate_group, set()).add(sample.fold)

    assert len(samples) > 500
    assert all(len(folds) == 1 for folds in folds_of_group.values())
    assert all(sample.masks for sample in samples)


def test_a_list_may_name_classes_alone(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(4):
        save(tmp_path / "export" / f"{number}.png", rng.integers(0, 255, (30, 40), np.uint8))
    save(tmp_path / "export" / "outline.png", np.full((30, 40), 255, np.uint8))
    (tmp_path / "manifest.csv").write_text(
        "image,class,masks\nexport/0.png,benign,export/outline.png\nexport/1.png,benign,\n"
        "export/2.png,normal,\nexport/3.png,malignant,\n"
    )

    samples = read_samples(tmp_path, folds=2)

    assert [sample.label for sample in samples] == [1, 1, 0, 2]
    assert samples[0].read()[1].all()
    assert len({sample.duplicate_group for sample in samples}) == 4
    assert {sample.fold for sample in samples[:2]} == {0, 1}


def test_near_duplicates_are_found_and_contradictions_left_out(folder: Path) -> None:
    rng = np.random.default_rng(0)
    picture = np.kron(rng.integers(0, 255, (6, 8)), np.ones((5, 5))).astype(np.uint8)
    save(folder / "benign" / "benign (3).png", picture)
    save(folder / "benign" / "benign (4).png", picture[:, ::-1] // 2 + 20)
    other = np.kron(rng.integers(0, 255, (6, 8)), np.ones((5, 5))).astype(np.uint8)
    save(folder / "benign" / "benign (5).png", other)
    save(folder / "malignant" / "malignant (5).png", other)

    samples = {sample.image.name: sample for sample in read_samples(folder, folds=2)}

    twins = samples["benign (3).png"], samples["benign (4).png"]
    assert twins[0].duplicate_group == twins[1].duplicate_group
    assert twins[0].fold == twins[1].fold
    assert not {"benign (5).png", "malignant (5).png"} & set(samples)


def test_breakhis_is_read_one_magnification_at_a_time_and_by_slide(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for letter, slide in (("B", "A-14-22549AB"), ("B", "F-14-9133"), ("M", "DC-14-2523")):
        for magnification in (40, 200):
            for number in (1, 2):
                name = f"SOB_{letter}_{slide}-{magnification}-00{number}.png"
                folder = tmp_path / "breast" / letter / slide / f"{magnification}X"
                save(folder / name, rng.integers(0, 255, (20, 20, 3), np.uint8))

    samples = read_samples(tmp_path, folds=2, classes=("benign", "malignant"), magnification=200)

    assert [sample.label for sample in samples] == [0, 0, 0, 0, 1, 1]
    assert [sample.duplicate_group for sample in samples] == [0, 0, 2, 2, 1, 1]
    assert {sample.fold for sample in samples[:4]} == {0, 1}
    assert all("-200-" in sample.image.name for sample in samples)


def test_groups_found_are_those_of_the_public_list(shared_data: Path) -> None:
    samples = read_samples(shared_data / "busi")

    found = find_groups([sample.image for sample in samples])

    listed = np.array([sample.duplicate_group for sample in samples])
    assert np.array_equal(found[:, None] == found[None], listed[:, None] == listed[None])
