from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.data.dataset import (
    ExcludedImage,
    Sample,
    common_magnification,
    read_dataset,
    read_samples,
    require_annotations,
)
from models.data.duplicates import find_duplicate_groups
from models.evaluation.evaluate import read_cases
from models.types import DatasetError


def save(file: Path, pixels: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(file)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two images of each class in BUSI layout; one benign image has two lesions."""
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


def test_class_folders_are_assigned_to_folds(folder: Path) -> None:
    samples = read_samples(folder, folds=2)

    assert [(x.label, x.fold) for x in samples] == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)]
    assert len({x.duplicate_group for x in samples}) == 6


def test_the_masks_of_all_lesions_are_combined(folder: Path) -> None:
    two_lesions = read_samples(folder)[2]

    pixels, lesion = two_lesions.read()

    assert len(two_lesions.masks) == 2
    assert pixels.shape == lesion.shape == (20, 40)
    assert lesion.sum() == 2 * 60


def test_a_manifest_gives_fold_group_and_conflict(folder: Path) -> None:
    (folder / "manifest.csv").write_text(
        "image,class,duplicate_group,fold,label_conflict\n"
        "benign/benign (1).png,benign,7,3,0\n"
        "benign/benign (2).png,benign,7,3,1\n"
    )

    data = read_dataset(folder)

    (sample,) = data.samples
    assert (sample.label, sample.duplicate_group, sample.fold) == (1, 7, 3)
    assert data.excluded == [ExcludedImage(folder / "benign" / "benign (2).png", "benign", 7)]


@pytest.mark.parametrize(
    "row",
    [
        "benign/benign (1).png,benignant,1,0,0",
        "benign/benign (1).png,benign,one,0,0",
        "benign/benign (1).png,benign,1,0,x",
        "benign/benign (1).png",
    ],
)
def test_an_invalid_manifest_is_named(folder: Path, row: str) -> None:
    header = "image,class,duplicate_group,fold,label_conflict\n"
    (folder / "manifest.csv").write_text(header + row + "\n")

    with pytest.raises(DatasetError, match=r"manifest\.csv: missing or invalid value"):
        read_samples(folder)


def test_a_folder_without_class_folders_is_not_a_dataset(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no images in folders named normal, benign, malignant"):
        read_samples(tmp_path)


def test_a_mask_of_another_size_is_named(folder: Path) -> None:
    save(folder / "benign" / "benign (1)_mask_1.png", np.zeros((21, 40), np.uint8))

    with pytest.raises(DatasetError, match=r"benign \(1\)_mask_1\.png differs in size"):
        read_samples(folder)[2].read()


def test_a_broken_image_is_named(folder: Path) -> None:
    (folder / "normal" / "normal (1).png").write_bytes(b"no image")

    with pytest.raises(DatasetError, match=r"normal \(1\)\.png cannot be read"):
        read_samples(folder)[0].read()


def test_no_group_is_split_over_folds(shared_data: Path) -> None:
    samples = read_samples(shared_data / "busi")
    folds_of_group: dict[int, set[int]] = {}
    for sample in samples:
        folds_of_group.setdefault(sample.duplicate_group, set()).add(sample.fold)

    assert len(samples) > 500
    assert all(len(folds) == 1 for folds in folds_of_group.values())
    assert all(sample.masks for sample in samples)


def test_a_manifest_needs_only_images_and_classes(tmp_path: Path) -> None:
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


def test_near_duplicates_are_found_and_conflicts_excluded(folder: Path) -> None:
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
    excluded = read_dataset(folder, folds=2).excluded
    assert {(x.image.name, x.label) for x in excluded} == {
        ("benign (5).png", "benign"),
        ("malignant (5).png", "malignant"),
    }
    assert len({x.duplicate_group for x in excluded}) == 1


def test_breakhis_is_read_at_one_magnification_and_grouped_by_slide(tmp_path: Path) -> None:
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
    assert common_magnification(samples) == 200
    found = read_dataset(tmp_path, magnification=40)
    assert (found.classes, found.empty_classes) == (("benign", "malignant"), [])


def test_the_magnification_is_known_only_if_all_images_agree() -> None:
    names = ["SOB_B_A-14-22549AB-40-001.png", "SOB_M_DC-14-2523-100-001.png", "benign (1).png"]
    low, high, other = (Sample(Path(name), 0, (), 0, 0) for name in names)

    assert common_magnification([low, low]) == 40
    assert [common_magnification([low, x]) for x in (high, other)] == [None, None]
    assert common_magnification([other]) is None


def test_a_breakhis_slide_with_two_subtypes_is_one_group(tmp_path: Path) -> None:
    for slide in ("DC-14-13412", "LC-14-13412", "LC-14-12204"):
        save(tmp_path / slide / f"SOB_M_{slide}-40-001.png", np.full((20, 20), 90, np.uint8))

    samples = read_dataset(tmp_path, folds=2).samples

    groups = {sample.image.stem: sample.duplicate_group for sample in samples}
    assert groups["SOB_M_DC-14-13412-40-001"] == groups["SOB_M_LC-14-13412-40-001"]
    assert len(set(groups.values())) == 2


def test_the_error_for_an_empty_class_lists_other_folders(folder: Path) -> None:
    (folder / "malignant").rename(folder / "malign")

    with pytest.raises(DatasetError, match=r"no image of class malignant;.* there: malign$"):
        read_samples(folder)
    data = read_dataset(folder)
    assert data.empty_classes == ["malignant"]
    assert "No image is of class malignant" in " ".join(data.notices())


def test_a_class_missing_from_the_manifest_is_named(folder: Path) -> None:
    (folder / "manifest.csv").write_text("image,class\nbenign/benign (1).png,benign\n")

    with pytest.raises(
        DatasetError, match="no image of class normal or malignant; list some in manifest"
    ):
        read_samples(folder)


def test_jpeg_bmp_and_upper_case_suffixes_are_read(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name, suffix, mask in (
        ("normal", ".JPG", ".png"),
        ("benign", ".jpeg", ".PNG"),
        ("malignant", ".bmp", ".jpg"),
    ):
        save(tmp_path / name / f"a{suffix}", rng.integers(0, 255, (32, 40), np.uint8))
        lesion = np.zeros((32, 40), np.uint8)
        lesion[8:16, 8:24] = 0 if name == "normal" else 255
        save(tmp_path / name / f"a_mask{mask}", lesion)
        (tmp_path / name / "notes.txt").write_text("no picture")

    samples = read_samples(tmp_path)

    assert [x.image.name for x in samples] == ["a.JPG", "a.jpeg", "a.bmp"]
    assert [x.read()[1].sum() for x in samples] == [0, 8 * 16, 8 * 16]


def listed(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    (folder / "manifest.csv").write_text(text, encoding=encoding)
    return folder


def test_a_listed_mask_that_does_not_exist_is_an_error(folder: Path) -> None:
    listed(folder, "image,class,masks\nbenign (1).png,benign,benign/benign (1)_msk.png\n")

    with pytest.raises(
        DatasetError, match=r"lists the mask benign/benign \(1\)_msk\.png of benign"
    ):
        read_dataset(folder)


def test_listed_masks_are_relative_to_the_folder_or_the_image(folder: Path) -> None:
    listed(
        folder,
        "image,class,masks\n"
        "benign (1).png,benign,benign/benign (1)_mask.png; benign (1)_mask_1.png\n",
    )

    (sample,) = read_dataset(folder).samples

    assert sample.read()[1].sum() == 2 * 60


def test_the_listed_number_of_masks_must_match(folder: Path) -> None:
    listed(folder, "image,class,masks\nbenign/benign (1).png,benign,2\n")
    assert len(read_dataset(folder).samples[0].masks) == 2

    (folder / "benign" / "benign (1)_mask_1.png").unlink()

    with pytest.raises(DatasetError, match=r"2 masks of benign \(1\)\.png, but 1 are next to it"):
        read_dataset(folder)


def test_an_image_without_a_mask_is_not_annotated_unless_normal(folder: Path) -> None:
    for name in ("normal", "benign"):
        (folder / name / f"{name} (2)_mask.png").unlink()

    data = read_dataset(folder)

    assert [x.image.name for x in data.samples if not x.annotated] == ["benign (2).png"]
    assert [lesion is None for _, _, lesion in read_cases(data.samples)] == [False] * 3 + [True] + [
        False
    ] * 2
    assert "Without a mask although not of class normal: 1 images" in " ".join(data.notices())
    with pytest.raises(DatasetError, match=r"not of class normal: benign \(2\)\.png; add a"):
        require_annotations(data.samples)
    require_annotations([x for x in data.samples if x.annotated])


def test_a_manifest_with_a_byte_order_mark_is_read_and_another_encoding_is_named(
    folder: Path,
) -> None:
    text = "image,class\nbenign/benign (1).png,benign\n"
    assert len(read_dataset(listed(folder, text, "utf-8-sig")).samples) == 1

    with pytest.raises(DatasetError, match=r"manifest\.csv is not UTF-8"):
        read_dataset(listed(folder, text + "benign/Größe.png,benign\n", "latin-1"))


def test_listed_groups_are_checked_for_conflicts_unless_conflicts_are_listed(folder: Path) -> None:
    rows = [("benign", 7), ("malignant", 7), ("normal", 8)]
    text = "".join(f"{name}/{name} (1).png,{name},{group},0\n" for name, group in rows)
    listed(folder, "image,class,duplicate_group,fold\n" + text)

    data = read_dataset(folder)

    assert [x.image.name for x in data.samples] == ["normal (1).png"]
    assert [(x.label, x.duplicate_group) for x in data.excluded] == [
        ("benign", 7),
        ("malignant", 7),
    ]
    text = text.replace(",0\n", ",0,0\n")
    listed(folder, "image,class,duplicate_group,fold,label_conflict\n" + text)
    assert len(read_dataset(folder).samples) == 3


def test_the_number_of_excluded_images_is_logged(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rng = np.random.default_rng(0)
    for name in ("benign", "malignant"):
        save(folder / name / "twin.png", np.kron(np.eye(4), np.full((9, 9), 200)).astype(np.uint8))
        save(folder / name / "twin_mask.png", rng.integers(0, 255, (36, 36), np.uint8))

    read_samples(folder)

    assert "2 images are excluded" in caplog.text
    assert "twin" not in caplog.text


def test_a_manifest_with_conflicts_only_is_not_a_dataset(folder: Path) -> None:
    listed(folder, "image,class,label_conflict\nbenign/benign (1).png,benign,1\n")

    with pytest.raises(DatasetError, match="all 1 images are excluded"):
        read_dataset(folder)
    with pytest.raises(DatasetError, match=r"manifest\.csv lists no image"):
        read_dataset(listed(folder, "image,class\n"))


def test_a_listed_image_that_does_not_exist_is_named(folder: Path) -> None:
    with pytest.raises(DatasetError, match=r"lists the image benign/c\.png, which does not exist"):
        read_dataset(listed(folder, "image,class\nbenign/c.png,benign\n"))


def test_groups_agree_with_the_published_list(shared_data: Path) -> None:
    samples = read_samples(shared_data / "busi")

    found = find_duplicate_groups([sample.image for sample in samples])

    listed = np.array([sample.duplicate_group for sample in samples])
    assert np.array_equal(found[:, None] == found[None], listed[:, None] == listed[None])
