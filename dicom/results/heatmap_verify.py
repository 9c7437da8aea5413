"""Heat maps read back, in each of their forms: as a segmentation, a map in space and a picture.

As in `dicom.results.verify`, nothing here shares code with the builders, nor with highdicom.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import JPEGBaseline8Bit

from dicom import codes as concepts
from dicom.errors import DicomError, ReadBackMismatch
from dicom.files import read_dataset, read_without_pixels
from dicom.images.frames import Frame, decode_frames
from dicom.results.model import ImageResult, StudyResult
from dicom.results.seg.verify import ReadSegmentation, read_back_segmentation
from dicom.results.verify import is_cine, named_image, referenced_frames, taken_apart

_FULL: Final = np.float32(255)
"""The weight of a heat map that a Parametric Map says as 1."""
_PLANE: Final = (
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
)
_HOTTEST: Final = (160, 160, 100)
"""What is warmest is yellow, and covers two thirds of what is below."""


@dataclass(frozen=True, eq=False)
class ReadMap:
    """A Parametric Map of one frame."""

    sop_instance_uid: str
    source_sop_instance_uid: str
    frame_of_reference_uid: str
    plane: tuple[float, ...]
    """Position, orientation and spacing: three numbers, six, two."""
    quantity: str
    """Code value of what the numbers are."""
    unit: str
    """In UCUM."""
    values: NDArray[np.float32]
    """(rows, columns), in `unit`."""


@dataclass(frozen=True)
class ReadCapture:
    """A picture of a heat map, but for its pixels."""

    sop_instance_uid: str
    source_sop_instance_uid: str
    frames: tuple[int, ...]
    """1-based frames of the source, page by page; none for a still."""
    pages: tuple[int, ...]
    """Page Number Vector (0018,2001)."""
    shape: tuple[int, int, int]
    """Frames, rows, columns."""
    lossy: bool


def verify_heatmap(path: Path, image: ImageResult) -> ReadSegmentation:
    """Read a heat map's segmentation back; raise ReadBackMismatch unless it is `image`'s."""
    found = read_back_segmentation(path)
    if found.source_sop_instance_uid != image.sop_instance_uid:
        raise ReadBackMismatch("the heat map names another image")
    (segment,) = found.segments
    if segment.planes.keys() != image.heatmaps.keys():
        raise ReadBackMismatch("the heat map is of other frames")
    for frame, heatmap in image.heatmaps.items():
        if not np.array_equal(segment.planes[frame], heatmap):
            raise ReadBackMismatch("a heat map differs")
    return found


def verify_heatmap_map(path: Path, image: ImageResult) -> ReadMap:
    """Read a Parametric Map back; raise ReadBackMismatch unless it is `image`'s heat map, in the
    very plane that `image`'s header states.
    """
    found = taken_apart(read_dataset(path), _map, "the heat map")
    source = read_without_pixels(image.source)
    if found.source_sop_instance_uid != image.sop_instance_uid:
        raise ReadBackMismatch("the heat map names another image")
    if found.frame_of_reference_uid != source.get("FrameOfReferenceUID") or not np.allclose(
        found.plane, [float(value) for keyword in _PLANE for value in source[keyword].value]
    ):
        raise ReadBackMismatch("the heat map lies elsewhere")
    if found.unit != "1" or found.quantity != concepts.GRAD_CAM.value:
        raise ReadBackMismatch("the heat map's numbers are not Grad-CAM")
    if image.heatmaps.keys() != {1}:
        raise ReadBackMismatch("the heat map is of other frames")
    if not np.array_equal(found.values, image.heatmaps[1] / _FULL):
        raise ReadBackMismatch("a heat map differs")
    return found


def read_back_capture(path: Path) -> ReadCapture:
    """Read the header of a heat map picture. Raises NotDicom, TruncatedFile, ReadBackMismatch."""
    return taken_apart(read_without_pixels(path), _capture, "the picture")


def verify_capture(path: Path, result: StudyResult) -> ReadCapture:
    """Read `path` back; raise ReadBackMismatch unless it shows its image's frames with heat maps
    page by page, with a legend below. Where it has lost nothing, each pixel without heat must be
    the frame's own, and the hottest ones must be seen to be hot.
    """
    found = read_back_capture(path)
    image = named_image(found.source_sop_instance_uid, result)
    numbers = tuple(sorted(image.heatmaps))
    named = numbers if is_cine(image) else ()
    if (found.frames, found.pages) != (named, named):
        raise ReadBackMismatch("the picture is of other frames")
    count, rows, columns = found.shape
    inner_rows, inner_columns = next(iter(image.heatmaps.values())).shape
    if count != len(numbers) or rows <= inner_rows or columns < inner_columns:
        raise ReadBackMismatch("the picture has another size")
    try:
        _verify_pages(path, image, numbers, lossy=found.lossy)
    except ReadBackMismatch:
        raise
    except DicomError as error:
        raise ReadBackMismatch("the picture cannot be decoded") from error
    return found


# --------------------------------------------------------------------------- map


def _map(dataset: Dataset) -> ReadMap:
    (shared,) = dataset.SharedFunctionalGroupsSequence
    (frame,) = dataset.PerFrameFunctionalGroupsSequence
    (mapping,) = shared.RealWorldValueMappingSequence
    lies = (
        frame.PlanePositionSequence[0].ImagePositionPatient,
        shared.PlaneOrientationSequence[0].ImageOrientationPatient,
        shared.PixelMeasuresSequence[0].PixelSpacing,
    )
    stored = np.frombuffer(dataset.FloatPixelData, dtype="<f4")
    stored = stored.reshape(int(dataset.Rows), int(dataset.Columns))
    slope, intercept = mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept
    (image,) = frame.DerivationImageSequence[0].SourceImageSequence
    return ReadMap(
        sop_instance_uid=str(dataset.SOPInstanceUID),
        source_sop_instance_uid=str(image.ReferencedSOPInstanceUID),
        frame_of_reference_uid=str(dataset.FrameOfReferenceUID),
        plane=tuple(float(value) for values in lies for value in values),
        quantity=str(mapping.QuantityDefinitionSequence[0].ConceptCodeSequence[0].CodeValue),
        unit=str(mapping.MeasurementUnitsCodeSequence[0].CodeValue),
        values=(stored * slope + intercept).astype(np.float32),
    )


# --------------------------------------------------------------------------- pictures


def _capture(dataset: Dataset) -> ReadCapture:
    (source,) = dataset.SourceImageSequence
    count = int(dataset.get("NumberOfFrames", 1))
    pages = dataset.get("PageNumberVector", [])
    return ReadCapture(
        sop_instance_uid=str(dataset.SOPInstanceUID),
        source_sop_instance_uid=str(source.ReferencedSOPInstanceUID),
        frames=referenced_frames(source),
        pages=(int(pages),) if isinstance(pages, (int, str)) else tuple(map(int, pages)),
        shape=(count, int(dataset.Rows), int(dataset.Columns)),
        lossy=dataset.file_meta.TransferSyntaxUID == JPEGBaseline8Bit,
    )


def _verify_pages(path: Path, image: ImageResult, numbers: tuple[int, ...], *, lossy: bool) -> None:
    frames = decode_frames(image.source, [number - 1 for number in numbers])
    for number, frame, picture in zip(numbers, frames, decode_frames(path), strict=True):
        if not lossy:
            _verify_picture(picture, frame, image.heatmaps[number])


def _verify_picture(picture: Frame, frame: Frame, heatmap: NDArray[np.uint8]) -> None:
    rows, columns = heatmap.shape
    shown, beside, legend = picture[:rows, :columns], picture[:rows, columns:], picture[rows:]
    below = frame if frame.ndim == 3 else frame[..., np.newaxis]
    cold, hottest = heatmap == 0, heatmap == 255
    if (shown[cold] != below[cold]).any() or beside.any():
        raise ReadBackMismatch("the picture differs where there is no heat")
    if (shown[hottest] < _HOTTEST).any():
        raise ReadBackMismatch("the picture is cold where there is most heat")
    if not legend.any():
        raise ReadBackMismatch("the picture has no legend")
