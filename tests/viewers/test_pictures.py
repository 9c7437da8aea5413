"""Heat map pictures and PDF pages, which need nothing but a viewer of images and of documents."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from dicom.files import write_dataset
from dicom.images.frames import decode_frames
from dicom.results.heatmap_sc.build import SERIES_DESCRIPTION
from dicom.uids import derived_uid
from models.phantom import make_cine, make_phantom
from tests.dicom import making
from tests.peers import Orthanc
from tests.viewers.ohif import Ohif

pytestmark = pytest.mark.peer

CASES = ("small gray still", "large calibrated gray still", "color still", "gray cine")


def make_case(folder: Path, name: str) -> tuple[making.Case, str]:
    """An image in a study of its own, and the UID of the study."""
    study = replace(making.STUDY, study_instance_uid=derived_uid("viewers", "pictures", name))
    path = folder / "image.dcm"
    spacing_mm = None
    match name:
        case "small gray still":
            pixels = make_phantom("cyst", seed=1, height=200, width=300).image
            making.write_image(path, pixels, study=study)
        case "large calibrated gray still":
            spacing_mm = 0.04
            pixels = make_phantom("spiculated", seed=2, height=960, width=1280).image
            making.write_image(path, pixels, study=study, spacing_mm=spacing_mm)
        case "color still":
            making.write_image(path, making.color(300, 400), study=study)
        case "gray cine":
            frames = [one.image for one in make_cine("fibroadenoma", seed=3, frames=4)]
            making.write_image(path, frames, study=study)
    return making.Case(path, 3, spacing_mm), study.study_instance_uid


@pytest.mark.parametrize("name", CASES)
def test_a_heat_map_picture_is_shown_as_it_was_drawn(
    name: str, ohif: Ohif, pacs: Orthanc, tmp_path: Path, screenshots: Path
) -> None:
    case, study = make_case(tmp_path, name)
    (built,) = making.build_objects("heatmap-sc", replace(case.result(), analysis_id=name))
    picture = write_dataset(built, tmp_path / "picture.dcm").path
    pacs.store(case.path, picture)
    ohif.open_study(study)
    ohif.load(SERIES_DESCRIPTION)
    frames = list(decode_frames(picture))
    assert ohif.frame_count == len(frames)
    for number, frame in enumerate(frames, start=1):
        ohif.show_frame(number)
        assert_looks_like(ohif.shown_image(frame.shape[:2]), frame)
        ohif.screenshot(screenshots / f"heatmap-sc {name} {number}.png")
    assert not ohif.errors


def test_a_pdf_page_is_shown_by_the_browser(
    ohif: Ohif, pacs: Orthanc, tmp_path: Path, screenshots: Path
) -> None:
    case, study = make_case(tmp_path, "small gray still")
    (built,) = making.build_objects("encapsulated-pdf", replace(case.result(), analysis_id="pdf"))
    pacs.store(case.path, write_dataset(built, tmp_path / "page.dcm").path)
    ohif.open_study(study)
    ohif.load(built.SeriesDescription, image=False)
    page = ohif.page.locator('object[type="application/pdf"]')
    page.wait_for()
    fetched: list[int] = ohif.page.evaluate(
        "async url => [...new Uint8Array(await (await fetch(url)).arrayBuffer())]",
        page.get_attribute("data"),
    )
    picture = screenshots / "encapsulated-pdf.png"
    for _ in range(60):  # Chromium loads its reader of PDF files, which tells nothing of its state
        ohif.screenshot(picture)
        if share_of_white(picture) > 0.1:
            break
        ohif.page.wait_for_timeout(500)
    assert share_of_white(picture) > 0.1
    assert bytes(fetched).rstrip(b"\0") == built.EncapsulatedDocument.rstrip(b"\0")
    assert not ohif.errors


def share_of_white(picture: Path) -> float:
    """How much of a picture is the white of paper, which the viewer itself never shows."""
    pixels = np.asarray(Image.open(picture).convert("RGB"))
    return float((pixels == 255).all(axis=2).mean())


def assert_looks_like(shown: NDArray[np.uint8], drawn: NDArray[np.uint8]) -> None:
    """The viewer interpolates between pixels, so that thin lines differ a little, and nothing much."""
    difference = np.abs(shown.astype(int) - drawn.astype(int))
    assert difference.mean() < 8
    for channel in range(3):
        pair = shown[..., channel].ravel(), drawn[..., channel].ravel()
        assert np.corrcoef(*pair)[0, 1] > 0.96
