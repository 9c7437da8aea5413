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
def test_a_wrong_manifest_is_named(folder: Path, row: str) -> None:
    header = "image,class,duplicate_group,fold,label_conflict\n"
    (folder / "manifest.csv").write_text(header + row + "\n")

    with pytest.raises(DatasetError, match=r"manifest\.csv: missing or invalid value"):
        read_samples(folder)


def test_a_folder_without_classes_is_no_data_set(tmp_path: Path) -> None:
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
    excluded = read_dataset(folder, folds=2).excluded
    assert {(x.image.name, x.label) for x in excluded} == {
        ("benign (5).png", "benign"),
        ("malignant (5).png", "malignant"),
    }
    assert len({x.duplicate_group for x in excluded}) == 1


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
    assert common_magnification(samples) == 200
    found = read_dataset(tmp_path, magnification=40)
    assert (found.classes, found.empty_classes) == (("benign", "malignant"), [])


def test_the_magnification_is_told_only_when_all_images_name_the_same() -> None:
    names = ["SOB_B_A-14-22549AB-40-001.png", "SOB_M_DC-14-2523-100-001.png", "benign (1).png"]
    low, high, other = (Sample(Path(name), 0, (), 0, 0) for name in names)

    assert common_magnification([low, low]) == 40
    assert [common_magnification([low, x]) for x in (high, other)] == [None, None]
    assert common_magnification([other]) is None


def test_one_slide_of_breakhis_under_two_subtypes_is_one_group(tmp_path: Path) -> None:
    for slide in ("DC-14-13412", "LC-14-13412", "LC-14-12204"):
        save(tmp_path / slide / f"SOB_M_{slide}-40-001.png", np.full((20, 20), 90, np.uint8))

    samples = read_dataset(tmp_path, folds=2).samples

    groups = {sample.image.stem: sample.duplicate_group for sample in samples}
    assert groups["SOB_M_DC-14-13412-40-001"] == groups["SOB_M_LC-14-13412-40-001"]
    assert len(set(groups.values())) == 2


def test_a_class_without_images_is_named_beside_the_folders_that_are_there(folder: Path) -> None:
    (folder / "malignant").rename(folder / "malign")

    with pytest.raises(DatasetError, match=r"no image of class malignant;.* there: malign$"):
        read_samples(folder)
    data = read_dataset(folder)
    assert data.empty_classes == ["malignant"]
    assert "No image is of class malignant" in " ".join(data.notices())


def test_a_class_that_no_row_names_is_named(folder: Path) -> None:
    (folder / "manifest.csv").write_text("image,class\nbenign/benign (1).png,benign\n")

    with pytest.raises(
        DatasetError, match="no image of class normal or malignant; list some in manifest"
    ):
        read_samples(folder)


def test_other_kinds_of_pictures_and_capitals_are_read(tmp_path: Path) -> None:
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


def test_a_named_mask_that_is_not_there_is_an_error(folder: Path) -> None:
    listed(folder, "image,class,masks\nbenign (1).png,benign,benign/benign (1)_msk.png\n")

    with pytest.raises(
        DatasetError, match=r"lists the mask benign/benign \(1\)_msk\.png of benign"
    ):
        read_dataset(folder)


def test_named_masks_lie_below_the_folder_or_beside_their_image(folder: Path) -> None:
    listed(
        folder,
        "image,class,masks\n"
        "benign (1).png,benign,benign/benign (1)_mask.png; benign (1)_mask_1.png\n",
    )

    (sample,) = read_dataset(folder).samples

    assert sample.read()[1].sum() == 2 * 60


def test_the_number_of_masks_must_be_that_beside_the_image(folder: Path) -> None:
    listed(folder, "image,class,masks\nbenign/benign (1).png,benign,2\n")
    assert len(read_dataset(folder).samples[0].masks) == 2

    (folder / "benign" / "benign (1)_mask_1.png").unlink()

    with pytest.raises(DatasetError, match=r"2 masks of benign \(1\)\.png, but 1 are next to it"):
        read_dataset(folder)


def test_an_image_without_a_mask_has_an_unknown_outline_unless_normal(folder: Path) -> None:
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


def test_a_list_from_excel_is_read_and_one_of_another_encoding_is_named(folder: Path) -> None:
    text = "image,class\nbenign/benign (1).png,benign\n"
    assert len(read_dataset(listed(folder, text, "utf-8-sig")).samples) == 1

    with pytest.raises(DatasetError, match=r"manifest\.csv is not UTF-8"):
        read_dataset(listed(folder, text + "benign/Größe.png,benign\n", "latin-1"))


def test_listed_groups_are_searched_for_contradictions_unless_someone_has(folder: Path) -> None:
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


def test_the_log_counts_what_is_left_out(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    rng = np.random.default_rng(0)
    for name in ("benign", "malignant"):
        save(folder / name / "twin.png", np.kron(np.eye(4), np.full((9, 9), 200)).astype(np.uint8))
        save(folder / name / "twin_mask.png", rng.integers(0, 255, (36, 36), np.uint8))

    read_samples(folder)

    assert "2 images are excluded" in caplog.text
    assert "twin" not in caplog.text


def test_a_list_of_nothing_but_contradictions_is_no_data_set(folder: Path) -> None:
    listed(folder, "image,class,label_conflict\nbenign/benign (1).png,benign,1\n")

    with pytest.raises(DatasetError, match="all 1 images are excluded"):
        read_dataset(folder)
    with pytest.raises(DatasetError, match=r"manifest\.csv lists no image"):
        read_dataset(listed(folder, "image,class\n"))


def test_an_image_of_the_list_that_is_not_there_is_named(folder: Path) -> None:
    with pytest.raises(DatasetError, match=r"lists the image benign/c\.png, which does not exist"):
        read_dataset(listed(folder, "image,class\nbenign/c.png,benign\n"))


def test_groups_found_are_those_of_the_public_list(shared_data: Path) -> None:
    samples = read_samples(shared_data / "busi")

    found = find_duplicate_groups([sample.image for sample in samples])

    listed = np.array([sample.duplicate_group for sample in samples])
    assert np.array_equal(found[:, None] == found[None], listed[:, None] == listed[None])
