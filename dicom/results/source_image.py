"""The received image that a result describes, and its stand-in for highdicom."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydicom.dataset import Dataset
from pydicom.uid import UltrasoundImageStorage

from dicom.files import read_without_pixels
from dicom.images.header import InstanceHeader, parse_header
from dicom.storage_classes import MULTI_FRAME

TYPE_2: Final = (
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
"""Type 2 attributes of the modules Patient and General Study (PS3.3 C.7.1.1, C.7.2.1)."""


@dataclass(frozen=True)
class SourceImage:
    """The header of a received image."""

    dataset: Dataset
    header: InstanceHeader

    @property
    def cine(self) -> bool:
        """Whether references to the image contain frame numbers."""
        return self.header.sop_class_uid in MULTI_FRAME

    @property
    def last_frame(self) -> int:
        """The greatest 1-based frame number that a reference may contain."""
        return self.header.number_of_frames if self.cine else 1

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self.header.rows, self.header.columns

    def frames(self, *numbers: int) -> list[int] | None:
        """Return Referenced Frame Number (0008,1160): None for a still and for a whole cine."""
        whole = not numbers or 1 < self.last_frame == len(set(numbers))
        return None if whole or not self.cine else sorted(set(numbers))

    def reference(self) -> Dataset:
        """Return an item that references the image by SOP class and SOP instance."""
        item = Dataset()
        item.ReferencedSOPClassUID = self.header.sop_class_uid
        item.ReferencedSOPInstanceUID = self.header.sop_instance_uid
        return item


def read_source(path: Path) -> SourceImage:
    """Read the header of `path`. Raises the errors of `dicom.images.header.read_header`."""
    dataset = read_without_pixels(path)
    return SourceImage(dataset, parse_header(dataset))


def one_frame_stand_in(source: SourceImage) -> Dataset:
    """Return a single-frame US image with the UIDs and size of `source`, and without a patient.

    highdicom fails on absent type 2 attributes, logs unusual names, and rejects multi-frame images
    without a frame of reference (its issue 284). `dicom.results.provenance` adds the patient and
    study of the source afterwards.
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
    """Correct the SOP class in all references to a `one_frame_stand_in`, at every level.

    `sources` is keyed by SOP Instance UID.
    """
    if source := sources.get(str(item.get("ReferencedSOPInstanceUID", ""))):
        item.ReferencedSOPClassUID = source.header.sop_class_uid
    for element in item:
        if element.VR == "SQ":
            for child in element.value:
                name_true_classes(child, sources)
