"""Pictures from a folder as DICOM objects that can be sent."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from dicom.errors import DicomError
from dicom.files import write_dataset
from dicom.images.ultrasound_image import StudyContext, build_ultrasound_image
from dicom.results.model import RefusalReason
from dicom.uids import derived_uid
from sonogate.inputs import is_plain
from workers.pipeline.image_file import open_picture

ID_CHARACTERS = 12


@dataclass(frozen=True)
class Ready:
    """One source as the DICOM file to send; ``file`` is None when it is damaged."""

    source: Path
    file: Path | None
    problem: str = ""


def as_dicom(
    sources: Sequence[Path], folder: Path, *, patient_id: str = "", patient_name: str = ""
) -> list[Ready]:
    """The DICOM files among `sources` as they are, and each picture wrapped into `folder`.

    With a patient id all pictures are images of one study of this patient; without one each is a
    study of its own, of a patient named after its content. The same pictures make the same
    objects, so that sending them again changes nothing.
    """
    pictures = [source for source in sources if is_plain(source)]
    together = hashlib.sha256("".join(map(_digest, pictures)).encode()).hexdigest()
    numbers = {source: number for number, source in enumerate(pictures, start=1)}
    ready = []
    for source in sources:
        if source not in numbers:
            ready.append(Ready(source, source))
            continue
        study = _study(
            source, together if patient_id else _digest(source), patient_id, patient_name
        )
        target = folder / f"{numbers[source]:05}.dcm"
        ready.append(_wrapped(source, study, numbers[source] if patient_id else 1, target))
    return ready


def _study(source: Path, key: str, patient_id: str, patient_name: str) -> StudyContext:
    return StudyContext(
        study_instance_uid=derived_uid("wrapped", "study", patient_id or "-", key),
        patient_id=patient_id or f"FILE-{key[:ID_CHARACTERS].upper()}",
        patient_name=patient_name,
        study_datetime=datetime.fromtimestamp(source.stat().st_mtime, UTC),
        sex="",
    )


def _wrapped(source: Path, study: StudyContext, number: int, target: Path) -> Ready:
    try:
        _, frame = next(open_picture(source).frames([0]))
    except (DicomError, OSError) as error:
        return Ready(source, None, str(error))
    if isinstance(frame, RefusalReason):
        return Ready(source, None, frame.text)
    write_dataset(build_ultrasound_image(frame, study=study, instance_number=number), target)
    return Ready(source, target)


def _digest(source: Path) -> str:
    with source.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
