from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dicom.files import encode, write_dataset
from dicom.results.graphic_data import closed_outline
from dicom.results.model import ImageResult
from tests.dicom import making
from tests.dicom.conftest import Validate

MASK = making.disc((64, 80), 30, 30, 9)
GRAY, COLOR = "1.2.840.10008.5.1.4.1.1.11.1", "1.2.840.10008.5.1.4.1.1.11.2"
PLAIN_NAME = replace(making.STUDY, patient_name="Mueller^Anne")  # DCMTK knows no UTF-8 in names


def one_lesion(folder: Path, pixels: np.ndarray, **changes: object) -> ImageResult:
    path = making.write_image(folder / "image.dcm", pixels, study=PLAIN_NAME, changes=changes)
    return making.image_result(path, [making.lesion(MASK)])


def test_every_kind_of_image_gets_a_valid_state(
    case: making.Case, tmp_path: Path, dciodvfy: Validate
) -> None:
    built = making.build_objects("presentation-state", case.result())
    assert len(built) == (1 if case.lesion_count else 0)
    for one in built:
        dciodvfy(write_dataset(one, tmp_path / "state.dcm").path)


@pytest.mark.peer
@pytest.mark.parametrize(("pixels", "sop_class"), [(making.gray(), GRAY), (making.color(), COLOR)])
def test_dcmtk_accepts_the_state(
    tmp_path: Path, pixels: np.ndarray, sop_class: str, dcmpschk: Validate
) -> None:
    (built,) = making.build_objects(
        "presentation-state", making.study_result(one_lesion(tmp_path, pixels))
    )
    assert built.SOPClassUID == sop_class
    dcmpschk(write_dataset(built, tmp_path / "state.dcm").path)


def test_each_outline_is_on_its_own_frame_under_its_own_tracking_uid(tmp_path: Path) -> None:
    frames = [making.color(seed=seed) for seed in range(5)]
    path = making.write_image(tmp_path / "cine.dcm", frames)
    lesions = [making.lesion(MASK, number=number, frame=number + 1) for number in (1, 2)]
    image = making.image_result(path, lesions)
    (built,) = making.build_objects("presentation-state", making.study_result(image))
    for annotation, lesion in zip(built.GraphicAnnotationSequence, lesions, strict=True):
        (reference,) = annotation.ReferencedImageSequence
        assert reference.ReferencedSOPInstanceUID == image.sop_instance_uid
        assert reference.ReferencedSOPClassUID == "1.2.840.10008.5.1.4.1.1.3.1"
        assert reference.ReferencedFrameNumber == lesion.frame_number
        (outline,) = annotation.GraphicObjectSequence
        assert outline.TrackingUID == lesion.tracking_uid
        points = np.reshape(outline.GraphicData, (-1, 2))
        assert np.allclose(points, [*lesion.contour, lesion.contour[0]])
        (name,) = annotation.TextObjectSequence
        assert name.UnformattedTextValue == f"{lesion.tracking_id} (AI, not verified)"


def test_gray_looks_under_the_state_as_it_did_without(tmp_path: Path) -> None:
    image = one_lesion(tmp_path, making.gray(), WindowCenter=90, WindowWidth=120)
    (built,) = making.build_objects("presentation-state", making.study_result(image))
    (window,) = built.SoftcopyVOILUTSequence
    assert (window.WindowCenter, window.WindowWidth) == (90, 120)
    assert built.PresentationLUTShape == "IDENTITY"


def test_inverted_gray_stays_inverted(tmp_path: Path, dciodvfy: Validate) -> None:
    image = one_lesion(tmp_path, making.gray(), PhotometricInterpretation="MONOCHROME1")
    (built,) = making.build_objects("presentation-state", making.study_result(image))
    assert built.PresentationLUTShape == "INVERSE"
    dciodvfy(write_dataset(built, tmp_path / "state.dcm").path)


def profile_of(folder: Path, own: bytes | None) -> bytes:
    changes = {} if own is None else {"ICCProfile": own}
    image = one_lesion(folder, making.color(), **changes)
    (built,) = making.build_objects("presentation-state", making.study_result(image))
    return bytes(built.ICCProfile)


def test_a_color_state_has_the_images_own_profile_when_it_may_and_else_srgb(
    tmp_path: Path,
) -> None:
    srgb = profile_of(tmp_path, None)
    assert srgb[12:16] == b"spac"
    scanner = srgb[:12] + b"scnr" + srgb[16:]
    assert profile_of(tmp_path, scanner) == scanner
    display = srgb[:12] + b"mntr" + srgb[16:]
    for unfit in (display, scanner[:-100], b"no profile at all"):
        assert profile_of(tmp_path, unfit) == srgb


def test_lesions_without_an_outline_are_not_drawn(tmp_path: Path) -> None:
    image = one_lesion(tmp_path, making.gray())
    bare = replace(image, lesions=(replace(image.lesions[0], contour=()),))
    assert making.build_objects("presentation-state", making.study_result(bare)) == []


def test_an_outline_that_leaves_the_image_is_drawn_along_its_border(tmp_path: Path) -> None:
    image = one_lesion(tmp_path, making.gray())
    outside = replace(image.lesions[0], contour=((-3.0, 5.0), (90.0, 5.0), (40.0, 70.0)))
    (built,) = making.build_objects(
        "presentation-state", making.study_result(replace(image, lesions=(outside,)))
    )
    points = np.reshape(
        built.GraphicAnnotationSequence[0].GraphicObjectSequence[0].GraphicData, (-1, 2)
    )
    assert points.min() >= 0
    assert (points <= (80, 64)).all()


def test_building_again_makes_the_same_bytes(tmp_path: Path) -> None:
    result = making.study_result(one_lesion(tmp_path, making.color()))
    (first,), (again,) = (making.build_objects("presentation-state", result) for _ in range(2))
    assert encode(first) == encode(again)


def test_an_outline_of_very_many_points_is_thinned_and_closed() -> None:
    many = [(i / 1000, float(i % 2)) for i in range(20_000)]
    outline = closed_outline(many)
    assert len(outline) <= 8001
    assert np.array_equal(outline[0], outline[-1])
