"""Verifies key object selections. See `dicom.results.verify`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dicom.errors import ReadBackMismatch
from dicom.files import read_dataset
from dicom.results.model import StudyResult
from dicom.results.verify import is_cine, parsing, referenced_frames
from dicom.terms.classification import NORMAL


@dataclass(frozen=True)
class ReadKeyObjects:
    """A Key Object Selection as stored."""

    frames: Mapping[str, tuple[int, ...]]
    """1-based, by SOP Instance UID of the image; empty for a still and for a whole cine."""
    evidence: frozenset[str]
    """SOP Instance UIDs."""


def read_back_key_objects(path: Path) -> ReadKeyObjects:
    """Read a Key Object Selection. Raises NotDicom, TruncatedFile, ReadBackMismatch."""
    dataset = read_dataset(path)
    with parsing("the selection"):
        frames = {
            str(reference.ReferencedSOPInstanceUID): referenced_frames(reference)
            for item in dataset.ContentSequence
            for reference in item.get("ReferencedSOPSequence", [])
        }
        evidence = frozenset(
            str(reference.ReferencedSOPInstanceUID)
            for study in dataset.CurrentRequestedProcedureEvidenceSequence
            for series in study.ReferencedSeriesSequence
            for reference in series.ReferencedSOPSequence
        )
        return ReadKeyObjects(frames, evidence)


def verify_key_objects(path: Path, result: StudyResult) -> None:
    """Raise ReadBackMismatch unless `path` selects the frames with findings, and only these."""
    selection = read_back_key_objects(path)
    expected = {}
    for image in result.images:
        is_normal = image.label == NORMAL and not image.undecided
        frames = {lesion.frame_number for lesion in image.lesions}
        if image.frame_number is not None and not is_normal:
            frames.add(image.frame_number)
        if image.lesions or not is_normal:
            expected[image.sop_instance_uid] = tuple(sorted(frames)) if is_cine(image) else ()
    if selection.frames.keys() != expected.keys():
        raise ReadBackMismatch("the selection names other images")
    if selection.frames != expected:
        raise ReadBackMismatch("the selection names other frames")
    if selection.evidence != expected.keys():
        raise ReadBackMismatch("the evidence differs from the selected images")
