"""Wraps PNG and JPEG images as DICOM objects that can be sent."""

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
from sonogate.files.inputs import is_plain_image
from workers.pipeline.image_file import open_image_file

ID_CHARACTERS = 12


@dataclass(frozen=True)
class SendableFile:
    """An input file and the DICOM file to send for it; ``dicom`` is None if it is damaged."""

    source: Path
    dicom: Path | None
    problem: str = ""


def to_sendable(
    sources: Sequence[Path], folder: Path, *, patient_id: str = "", patient_name: str = ""
) -> list[SendableFile]:
    """Return DICOM files unchanged, and wrap each image into a DICOM file in `folder`.

    With a patient ID, all images form one study of this patient. Without one, each image is a
    study of its own, with a patient ID derived from its content. The UIDs are derived from the
    content as well, so that sending the same images again creates no new objects.
    """
    images = [source for source in sources if is_plain_image(source)]
    digests = {image: hashlib.sha256(image.read_bytes()).hexdigest() for image in images}
    digest_of_all = hashlib.sha256("".join(digests.values()).encode()).hexdigest()
    sendable = []
    for source in sources:
        if source not in digests:
            sendable.append(SendableFile(source, source))
            continue
        number = images.index(source) + 1
        key = digest_of_all if patient_id else digests[source]
        study = StudyContext(
            study_instance_uid=derived_uid("wrapped", "study", patient_id or "-", key),
            patient_id=patient_id or f"FILE-{key[:ID_CHARACTERS].upper()}",
            patient_name=patient_name,
            study_datetime=datetime.fromtimestamp(source.stat().st_mtime, UTC),
            sex="",
        )
        target = folder / f"{number:05}.dcm"
        sendable.append(_wrap(source, study, number if patient_id else 1, target))
    return sendable


def _wrap(source: Path, study: StudyContext, number: int, target: Path) -> SendableFile:
    try:
        _, frame = next(open_image_file(source).decode_frames([0]))
    except (DicomError, OSError) as error:
        return SendableFile(source, None, str(error))
    if isinstance(frame, RefusalReason):
        return SendableFile(source, None, frame.text)
    write_dataset(build_ultrasound_image(frame, study=study, instance_number=number), target)
    return SendableFile(source, target)
