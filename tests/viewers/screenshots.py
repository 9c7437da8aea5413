"""Takes the pictures of OHIF for the documentation, of phantoms.

python -m tests.viewers.screenshots     # writes docs/images/viewers/ohif-*.jpg
"""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import pydicom
from PIL import Image

from dicom.files import write_dataset
from dicom.images.ultrasound_image import StudyContext
from dicom.results.model import StudyResult
from dicom.uids import derived_uid
from models.phantom import Phantom, make_cine, make_phantom
from sonogate.demo.ohif import serve_ohif
from sonogate.destination_test.phantom_study import PhantomPredictor
from tests import peers
from tests.browser import chromium
from tests.dicom import making
from tests.viewers.ohif import Ohif, open_ohif
from workers.pipeline.image import analyze_image
from workers.pipeline.study import algorithm_of, build_study_result

FOLDER: Final = Path(__file__).parents[2] / "docs" / "images" / "viewers"
WIDTH: Final = 1280
_ROWS, _COLUMNS = 480, 640
_SPACING_MM = 0.08
_FRAMES = 9
_BESIDE_THE_IMAGE = 1590, 890


def main() -> None:
    """Write one picture of a segmentation, a report and a heat map picture each."""
    size = {"height": _ROWS, "width": _COLUMNS}
    still = [make_phantom("spiculated", seed=31, spacing_mm=_SPACING_MM, **size)]
    cine = make_cine("spiculated", seed=32, frames=_FRAMES, spacing_mm=_SPACING_MM, **size)
    with TemporaryDirectory(prefix="sonogate-screenshots-") as name, chromium() as browser:
        home = Path(name)
        with (
            peers.orthanc(home) as pacs,
            serve_ohif(("127.0.0.1", pacs.http_port)) as address,
        ):
            shots = (
                ("segmentation", "seg", cine, _SPACING_MM),
                # OHIF computes areas on calibrated ultrasound wrongly: see viewers.md
                ("report", "sr", still, None),
                ("heat-map", "heatmap-sc", still, _SPACING_MM),
            )
            for shot, spec, phantoms, spacing_mm in shots:
                result = _analyze(home / shot, phantoms, spacing_mm)
                description = _store(pacs, home / shot, result, spec)
                with open_ohif(browser, address) as ohif:
                    ohif.open_study(_study_of(shot).study_instance_uid)
                    _show(ohif, description, spec, result)
                    save(ohif, FOLDER / f"ohif-{shot}.jpg")


def _study_of(shot: str) -> StudyContext:
    return StudyContext(
        study_instance_uid=derived_uid("screenshots", shot),
        patient_id=f"PHANTOM-{shot}",
        patient_name="Phantom^Breast",
        study_datetime=making.MOMENT,
        study_description="Breast ultrasound, phantom",
        laterality="L",
    )


def _analyze(home: Path, phantoms: Sequence[Phantom], spacing_mm: float | None) -> StudyResult:
    home.mkdir()
    frames = [phantom.image for phantom in phantoms]
    source = making.write_image(
        home / "image.dcm",
        frames if len(frames) > 1 else frames[0],
        spacing_mm=spacing_mm,
        study=_study_of(home.name),
    )
    return build_study_result(
        [analyze_image(source, PhantomPredictor(phantoms))],
        analysis_id=derived_uid("screenshots-analysis", home.name),
        algorithm=algorithm_of(PhantomPredictor.info),
        produced_at=making.MOMENT,
    )


def _store(pacs: peers.Orthanc, home: Path, result: StudyResult, spec: str) -> str:
    """Store the image with the objects of the profile for OHIF; return what to load."""
    files = [result.images[0].source]
    description = ""
    for kind, objects in making.build_results(["seg", "sr", "heatmap-sc"], result).items():
        for number, dataset in enumerate(objects):
            files.append(write_dataset(dataset, home / f"{kind}-{number}.dcm").path)
            if kind == spec:
                description = str(pydicom.dcmread(files[-1]).SeriesDescription)
    pacs.store(*files)
    return description


def _show(ohif: Ohif, description: str, spec: str, result: StudyResult) -> None:
    ohif.load(description, image=spec != "seg")
    if spec == "heatmap-sc":
        return
    ohif.hydrate()
    ohif.show_frame(
        max(result.images[0].lesions, key=lambda lesion: lesion.mask.sum()).frame_number
    )
    if spec == "seg":
        ohif.segments()  # opens the panel
    else:
        ohif.drawn_contours()  # moves the pointer, which draws them
        ohif.measurements()
    ohif.page.mouse.move(*_BESIDE_THE_IMAGE)


def save(ohif: Ohif, path: Path) -> None:
    """Save the window as JPEG, `WIDTH` pixels wide."""
    window = Image.open(BytesIO(ohif.page.screenshot())).convert("RGB")
    height = round(window.height * WIDTH / window.width)
    path.parent.mkdir(parents=True, exist_ok=True)
    window.resize((WIDTH, height), Image.Resampling.LANCZOS).save(
        path, "JPEG", quality=72, optimize=True
    )


if __name__ == "__main__":
    main()
