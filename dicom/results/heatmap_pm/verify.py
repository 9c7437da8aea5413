"""Verifies heat maps as Parametric Maps. See `dicom.results.verify`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dicom import codes as concepts
from dicom.errors import ReadBackMismatch
from dicom.files import read_dataset, read_without_pixels
from dicom.results.model import StudyResult
from dicom.results.verify import find_image, parsing

_GREATEST_WEIGHT: Final = np.float32(255)
"""The weight of a heat map that a Parametric Map stores as 1."""


@dataclass(frozen=True, eq=False)
class ReadParametricMap:
    """A Parametric Map of one frame."""

    source_sop_instance_uid: str
    frame_of_reference_uid: str
    plane: tuple[float, ...]
    """Position (3 numbers), orientation (6) and spacing (2)."""
    quantity: str
    """Code value of the quantity."""
    unit: str
    """In UCUM."""
    values: NDArray[np.float32]
    """(rows, columns), in `unit`."""


def read_back_parametric_map(path: Path) -> ReadParametricMap:
    """Read a Parametric Map of one frame. Raises NotDicom, TruncatedFile, ReadBackMismatch."""
    dataset = read_dataset(path)
    with parsing("the heat map"):
        (shared,) = dataset.SharedFunctionalGroupsSequence
        (frame,) = dataset.PerFrameFunctionalGroupsSequence
        (mapping,) = shared.RealWorldValueMappingSequence
        (image,) = frame.DerivationImageSequence[0].SourceImageSequence
        plane = (
            *frame.PlanePositionSequence[0].ImagePositionPatient,
            *shared.PlaneOrientationSequence[0].ImageOrientationPatient,
            *shared.PixelMeasuresSequence[0].PixelSpacing,
        )
        stored = np.frombuffer(dataset.FloatPixelData, dtype="<f4")
        stored = stored.reshape(int(dataset.Rows), int(dataset.Columns))
        values = stored * mapping.RealWorldValueSlope + mapping.RealWorldValueIntercept
        return ReadParametricMap(
            source_sop_instance_uid=str(image.ReferencedSOPInstanceUID),
            frame_of_reference_uid=str(dataset.FrameOfReferenceUID),
            plane=tuple(float(value) for value in plane),
            quantity=str(mapping.QuantityDefinitionSequence[0].ConceptCodeSequence[0].CodeValue),
            unit=str(mapping.MeasurementUnitsCodeSequence[0].CodeValue),
            values=values.astype(np.float32),
        )


def verify_parametric_map(path: Path, result: StudyResult) -> None:
    """Raise ReadBackMismatch unless `path` contains the heat map of its image, in its plane."""
    parametric_map = read_back_parametric_map(path)
    image = find_image(parametric_map.source_sop_instance_uid, result)
    source = read_without_pixels(image.source)
    plane = (*source.ImagePositionPatient, *source.ImageOrientationPatient, *source.PixelSpacing)
    if parametric_map.frame_of_reference_uid != source.get(
        "FrameOfReferenceUID"
    ) or not np.allclose(parametric_map.plane, [float(value) for value in plane]):
        raise ReadBackMismatch("the heat map is in another place")
    if parametric_map.unit != "1" or parametric_map.quantity != concepts.GRAD_CAM.value:
        raise ReadBackMismatch("the values of the heat map are not Grad-CAM")
    if image.heatmaps.keys() != {1}:
        raise ReadBackMismatch("the heat map is of other frames")
    if not np.array_equal(parametric_map.values, image.heatmaps[1] / _GREATEST_WEIGHT):
        raise ReadBackMismatch("a heat map differs")
