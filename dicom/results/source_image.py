"""The received image that a result is about, and the form of it that highdicom accepts."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydicom.dataset import Dataset
from pydicom.uid import UltrasoundImageStorage

from dicom.files import read_without_pixels
from dicom.images.header import InstanceHeader, parse_header
from dicom.storage_classes import MULTI_FRAME

TYPE_2: Final = (  # PS3.3 C.7.1.1, C.7.2.1: written even when empty
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
)


@dataclass(frozen=True)
class SourceImage:
    """The header of a received image."""

    dataset: Dataset
    header: InstanceHeader

    @property
    def cine(self) -> bool:
        """Whether references to it name frames."""
        return self.header.sop_class_uid in MULTI_FRAME

    @property
    def last_frame(self) -> int:
        """The greatest 1-based number by which a reference can name a frame."""
        return self.header.number_of_frames if self.cine else 1

    @property
    def shape(self) -> tuple[int, int]:
        return self.header.rows, self.header.columns

    def frames(self, *numbers: int) -> list[int] | None:
        """Return the value of Referenced Frame Number: None for a still and for a whole cine."""
        whole = not numbers or 1 < self.last_frame == len(set(numbers))
        return None if whole or not self.cine else sorted(set(numbers))


def read_source(path: Path) -> SourceImage:
    """Read the header of `path`. Raises as `dicom.images.header.read_header`."""
    dataset = read_without_pixels(path)
    return SourceImage(dataset, parse_header(dataset))


def one_frame_stand_in(source: SourceImage) -> Dataset:
    """Return a data set that highdicom accepts as a source image: identity, size, nothing else.

    highdicom fails on absent type 2 attributes, logs unusual names, and accepts no multi-frame image
    without a frame of reference (its issue 284). So it gets a single-frame US image without a
    patient; `dicom.results.provenance` adds the patient and study of the source.
    """
    header = source.header
    stand_in = Dataset()
    stand_in.SOPClassUID = UltrasoundImageStorage
    stand_in.SOPInstanceUID = header.sop_instance_uid
    stand_in.StudyInstanceUID = header.study_instance_uid
    stand_in.SeriesInstanceUID = header.series_instance_uid
    stand_in.Modality = "US"
    stand_in.Rows, stand_in.Columns = header.rows, header.columns
    for keyword in TYPE_2:
        setattr(stand_in, keyword, None)
    return stand_in


def name_true_classes(item: Dataset, sources: Mapping[str, SourceImage]) -> None:
    """Replace the SOP class of `one_frame_stand_in` by that of the source in all references.

    `sources` are by SOP Instance UID.
    """
    if source := sources.get(str(item.get("ReferencedSOPInstanceUID", ""))):
        item.ReferencedSOPClassUID = source.header.sop_class_uid
    for element in item:
        if element.VR == "SQ":
            for child in element.value:
                name_true_classes(child, sources)
