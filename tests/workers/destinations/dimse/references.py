"""References to objects of the tests."""

from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from workers.destinations.kind import InstanceReference


def reference(dataset: Dataset) -> InstanceReference:
    return InstanceReference(
        str(dataset.SOPClassUID),
        str(ExplicitVRLittleEndian),
        str(dataset.StudyInstanceUID),
        str(dataset.SeriesInstanceUID),
        str(dataset.SOPInstanceUID),
    )
