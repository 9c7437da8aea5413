"""The demo's studies: phantoms that show the plumbing, not the diagnosis."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit

from dicom.files import write_dataset
from dicom.images.ultrasound_image import StudyContext, build_ultrasound_image
from dicom.uids import derived_uid
from models.phantom import make_cine, make_phantom

Frame = NDArray[np.uint8]
CINE_FRAMES: Final = 16
SPACING_MM: Final = 0.08


@dataclass(frozen=True)
class Image:
    """One object of a study."""

    seed: int
    transfer_syntax_uid: str = ExplicitVRLittleEndian
    cine: bool = False
    color: bool = False
    """As machines do that burn a colored logo into a gray picture: RGB, here as YBR_FULL_422."""


STUDIES: Final[dict[str, tuple[Image, ...]]] = {
    "cyst": (Image(11), Image(12, JPEGBaseline8Bit)),
    "fibroadenoma": (Image(21, JPEGBaseline8Bit, color=True),),
    "spiculated": (Image(31), Image(32, JPEGBaseline8Bit, cine=True)),
    "normal": (Image(41, JPEGBaseline8Bit),),
}
"""By kind of phantom: stills and a cine, uncompressed and JPEG, all with a calibrated region."""


@dataclass(frozen=True)
class Sample:
    """One study on disk, ready to be sent."""

    name: str
    study_instance_uid: str
    files: tuple[Path, ...]


def make_samples(folder: Path, *, run: str, now: datetime) -> list[Sample]:
    """Write the phantom studies; another `run` gives the same pictures new UIDs."""
    return [_make(kind, folder, run, now) for kind in STUDIES]


def _make(kind: str, folder: Path, run: str, now: datetime) -> Sample:
    study = StudyContext(
        study_instance_uid=derived_uid("demo", run, kind),
        patient_id=f"PHANTOM-{kind.upper()}",
        patient_name=f"Phantom^{kind.capitalize()}",
        study_datetime=now,
        study_description=f"US breast phantom, {kind}",
        laterality="L",
    )
    files = []
    for number, image in enumerate(STUDIES[kind], start=1):
        dataset = build_ultrasound_image(
            _pixels(kind, image),
            study=study,
            spacing_mm=SPACING_MM,
            transfer_syntax_uid=image.transfer_syntax_uid,
            instance_number=number,
        )
        files.append(write_dataset(dataset, folder / f"{kind}-{number}.dcm").path)
    return Sample(kind, study.study_instance_uid, tuple(files))


def _pixels(kind: str, image: Image) -> Frame | list[Frame]:
    if image.cine:
        sweep = make_cine(kind, seed=image.seed, frames=CINE_FRAMES, spacing_mm=SPACING_MM)
        return [phantom.image for phantom in sweep]
    still = make_phantom(kind, seed=image.seed, spacing_mm=SPACING_MM).image
    return np.repeat(still[..., None], 3, axis=2) if image.color else still
