"""Studies of the demo: phantoms, or files of the user."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit

from dicom.errors import DicomError
from dicom.files import write_dataset
from dicom.images.header import read_header
from dicom.images.ultrasound_image import StudyContext, build_ultrasound_image
from dicom.uids import derived_uid
from models.phantom import make_cine, make_phantom
from sonogate.files.inputs import find_input_files, is_plain_image
from sonogate.files.wrapping import to_sendable

Frame = NDArray[np.uint8]
CINE_FRAMES: Final = 16
SPACING_MM: Final = 0.08


@dataclass(frozen=True)
class PhantomImage:
    """How to make one object of a phantom study."""

    seed: int
    transfer_syntax_uid: str = ExplicitVRLittleEndian
    cine: bool = False
    color: bool = False
    """RGB in the data set, as machines write that burn a colored logo into a gray image."""


PHANTOM_STUDIES: Final[dict[str, tuple[PhantomImage, ...]]] = {
    "cyst": (PhantomImage(11), PhantomImage(12, JPEGBaseline8Bit)),
    "fibroadenoma": (PhantomImage(21, JPEGBaseline8Bit, color=True),),
    "spiculated": (PhantomImage(31), PhantomImage(32, JPEGBaseline8Bit, cine=True)),
    "normal": (PhantomImage(41, JPEGBaseline8Bit),),
}
"""By kind of phantom: stills and a cine, uncompressed and JPEG, all calibrated."""


@dataclass(frozen=True)
class DemoStudy:
    """A study on disk, ready to be sent."""

    name: str
    study_instance_uid: str
    files: tuple[Path, ...]


def make_phantom_studies(folder: Path, *, run: str, now: datetime) -> list[DemoStudy]:
    """Write the phantom studies to `folder`. Each `run` has UIDs of its own."""
    studies = []
    for kind, images in PHANTOM_STUDIES.items():
        study = StudyContext(
            study_instance_uid=derived_uid("demo", run, kind),
            patient_id=f"PHANTOM-{kind.upper()}",
            patient_name=f"Phantom^{kind.capitalize()}",
            study_datetime=now,
            study_description=f"US breast phantom, {kind}",
            laterality="L",
        )
        files = []
        for number, image in enumerate(images, start=1):
            dataset = build_ultrasound_image(
                _draw(kind, image),
                study=study,
                spacing_mm=SPACING_MM,
                transfer_syntax_uid=image.transfer_syntax_uid,
                instance_number=number,
            )
            files.append(write_dataset(dataset, folder / f"{kind}-{number}.dcm").path)
        studies.append(DemoStudy(kind, study.study_instance_uid, tuple(files)))
    return studies


def load_studies(data: Path, folder: Path) -> tuple[list[DemoStudy], list[str]]:
    """Group the files in `data` by study, wrapping images into DICOM files in `folder`.

    Returns the studies, and a line for each file that cannot be sent.

    Raises:
        NoInputFiles: `data` contains no DICOM, PNG or JPEG file.
    """
    files: dict[str, list[Path]] = {}
    names: dict[str, str] = {}
    problems = []
    for sendable in to_sendable(find_input_files([data]), folder):
        source = sendable.source
        if sendable.dicom is None:
            problems.append(f"{source.name}: {sendable.problem}")
            continue
        try:
            uid = read_header(sendable.dicom).study_instance_uid
        except DicomError:
            problems.append(f"{source.name}: not a supported DICOM image")
            continue
        files.setdefault(uid, []).append(sendable.dicom)
        names.setdefault(uid, source.name if is_plain_image(source) else f"study {len(names) + 1}")
    return [DemoStudy(names[uid], uid, tuple(paths)) for uid, paths in files.items()], problems


def _draw(kind: str, image: PhantomImage) -> Frame | list[Frame]:
    if image.cine:
        sweep = make_cine(kind, seed=image.seed, frames=CINE_FRAMES, spacing_mm=SPACING_MM)
        return [phantom.image for phantom in sweep]
    still = make_phantom(kind, seed=image.seed, spacing_mm=SPACING_MM).image
    return np.repeat(still[..., None], 3, axis=2) if image.color else still
