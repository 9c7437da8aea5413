"""Heat maps for people as Secondary Capture (PS3.3 A.8): every viewer shows them.

Native by default: no PACS may refuse Explicit VR Little Endian, while JPEG has to be agreed on.
JPEG is there for destinations that want cines small: a tenth of the size, with soft letters.
"""

from collections.abc import Iterator
from typing import Final

from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    SecondaryCaptureImageStorage,
)

from dicom.attributes import get_text
from dicom.images.frames import Frame, decode_frames
from dicom.images.image_pixel import add_pixels
from dicom.results.heatmap_sc.picture import heatmap_picture
from dicom.results.heatmap_seg.build import check_heatmaps, with_heatmaps
from dicom.results.model import ImageResult, StudyResult
from dicom.results.provenance import add_provenance
from dicom.results.source_image import SourceImage, read_source
from dicom.uids import derived_uid

FIRST_SERIES_NUMBER: Final = {ExplicitVRLittleEndian: 9301, JPEGBaseline8Bit: 9351}
SERIES_DESCRIPTION: Final = "AI heat map picture (UNVERIFIED)"


def build_heatmap_captures(
    result: StudyResult, transfer_syntax_uid: UID = ExplicitVRLittleEndian
) -> list[Dataset]:
    """Return what `make_heatmap_captures` makes."""
    return list(make_heatmap_captures(result, transfer_syntax_uid))


def make_heatmap_captures(
    result: StudyResult, transfer_syntax_uid: UID = ExplicitVRLittleEndian
) -> Iterator[Dataset]:
    """Make one color capture for each image with heat maps, one at a time.

    Of a still it is a Secondary Capture Image; of a cine a Multi-frame True Color one whose Page
    Number Vector names the frames of the cine. The transfer syntax is Explicit VR Little Endian
    or JPEG Baseline. The UIDs follow from analysis, image and transfer syntax.

    Raises InvalidResult for a heat map of another size or frame than its image has, and what
    `dicom.images.frames.decode_frames` raises for a source that cannot be decoded.
    """
    for index, image in enumerate(with_heatmaps(result)):
        yield _build(result, image, index, transfer_syntax_uid)


def _build(result: StudyResult, image: ImageResult, index: int, transfer_syntax: UID) -> Dataset:
    source = read_source(image.source)
    check_heatmaps(image, source)
    parts = result.analysis_id, image.sop_instance_uid, transfer_syntax
    capture = Dataset()
    capture.SOPInstanceUID = derived_uid("heatmap-sc", *parts)
    capture.SeriesInstanceUID = derived_uid("heatmap-sc-series", *parts)
    capture.SeriesNumber = FIRST_SERIES_NUMBER[transfer_syntax] + index
    _add_capture(capture, source)
    numbers = sorted(image.heatmaps)
    _add_source(capture, source, numbers)
    add_pixels(capture, _pictures(image, numbers), transfer_syntax)
    if source.cine:
        _add_pages(capture, numbers)
    _add_earlier_loss(capture, source)
    add_provenance(capture, source, result)
    return capture


def _pictures(image: ImageResult, numbers: list[int]) -> list[Frame]:
    frames = decode_frames(image.source, [number - 1 for number in numbers])
    return [
        heatmap_picture(frame, image.heatmaps[number], image.label)
        for number, frame in zip(numbers, frames, strict=True)
    ]


def _add_capture(capture: Dataset, source: SourceImage) -> None:
    many, one = MultiFrameTrueColorSecondaryCaptureImageStorage, SecondaryCaptureImageStorage
    capture.SOPClassUID = many if source.cine else one
    capture.SeriesDescription = SERIES_DESCRIPTION
    capture.InstanceNumber = 1
    capture.Modality = "OT"
    capture.Laterality = source.header.laterality or None
    capture.PatientOrientation = None
    capture.ConversionType = "WSD"
    capture.ImageType = ["DERIVED", "SECONDARY"]
    # what is burned into the source is here too, and most sources do not say
    burned = get_text(source.dataset, "BurnedInAnnotation")
    capture.BurnedInAnnotation = "NO" if burned == "NO" else "YES"


def _add_source(capture: Dataset, source: SourceImage, numbers: list[int]) -> None:
    item = Dataset()
    item.ReferencedSOPClassUID = source.header.sop_class_uid
    item.ReferencedSOPInstanceUID = source.header.sop_instance_uid
    if source.cine:
        item.ReferencedFrameNumber = numbers
    capture.SourceImageSequence = [item]
    capture.DerivationDescription = "Grad-CAM laid over the image, with a legend below"


def _add_pages(capture: Dataset, numbers: list[int]) -> None:
    capture.NumberOfFrames = len(numbers)
    capture.FrameIncrementPointer = Tag("PageNumberVector")
    capture.PageNumberVector = numbers


def _add_earlier_loss(capture: Dataset, source: SourceImage) -> None:
    """Put the source's own lossy compression before ours (PS3.3 C.7.6.1.1.5)."""
    if get_text(source.dataset, "LossyImageCompression") != "01":
        return
    capture.LossyImageCompression = "01"
    for keyword in ("LossyImageCompressionRatio", "LossyImageCompressionMethod"):
        before = get_text(source.dataset, keyword)
        steps = [*before.split("\\")] if before else []
        if keyword in capture:
            steps.append(str(capture[keyword].value))
        if steps:
            setattr(capture, keyword, steps)
