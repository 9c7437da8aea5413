"""Builds Secondary Capture images (PS3.3 A.8) of heat maps, which every viewer can display.

The default is native pixels, because not every PACS accepts JPEG. JPEG makes cines about ten times
smaller, with less sharp text.
"""

from collections.abc import Iterator, Mapping
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
from dicom.images.frames import decode_frames
from dicom.images.image_pixel import add_pixels
from dicom.results.heatmap_sc.picture import Drawing
from dicom.results.heatmaps import check_heatmaps, images_with_heatmaps
from dicom.results.model import ImageResult, StudyResult
from dicom.results.provenance import add_provenance
from dicom.results.result_kind import BuildInputs
from dicom.results.source_image import SourceImage, read_source
from dicom.uids import derived_uid

TRANSFER_SYNTAXES: Final[Mapping[str, UID]] = {
    "native": ExplicitVRLittleEndian,
    "jpeg": JPEGBaseline8Bit,
}
"""By variant."""
FIRST_SERIES_NUMBER: Final = {ExplicitVRLittleEndian: 9301, JPEGBaseline8Bit: 9351}
SERIES_DESCRIPTION: Final = "AI heat map picture (UNVERIFIED)"
CONTENT_REVISION: Final = "2"
"""Part of the UIDs. A change of what the pictures show raises it, so that those built again from a
stored analysis never have the UIDs of different ones that a PACS already has."""


def build_heatmap_captures(inputs: BuildInputs) -> Iterator[Dataset]:
    """Build one color capture for each image with heat maps, one at a time.

    A still gets a Secondary Capture Image. A cine gets a Multi-frame True Color one, whose Page
    Number Vector names the frames of the cine.

    Raises InvalidResult for a heat map that does not fit its image, and the errors of
    `dicom.images.frames.decode_frames` for a source that cannot be decoded.
    """
    transfer_syntax = TRANSFER_SYNTAXES[inputs.spec.variant]
    images = images_with_heatmaps(inputs.result)
    for series_number, image in enumerate(images, start=FIRST_SERIES_NUMBER[transfer_syntax]):
        capture = _build_capture(inputs.result, image, transfer_syntax)
        capture.SeriesNumber = series_number
        yield capture
        del capture  # otherwise it stays in memory while the next one is built


def _build_capture(result: StudyResult, image: ImageResult, transfer_syntax: UID) -> Dataset:
    source = read_source(image.source)
    check_heatmaps(image, source)
    uid_parts = result.analysis_id, image.sop_instance_uid, transfer_syntax, CONTENT_REVISION
    numbers = sorted(image.heatmaps)
    capture = Dataset()
    capture.SOPInstanceUID = derived_uid("heatmap-sc", *uid_parts)
    capture.SeriesInstanceUID = derived_uid("heatmap-sc-series", *uid_parts)
    _add_capture_attributes(capture, source, numbers)
    frames = decode_frames(image.source, [number - 1 for number in numbers])
    drawing = Drawing(image, result.algorithm.confidence_threshold)
    pictures = [drawing.draw(frame, number) for number, frame in zip(numbers, frames, strict=True)]
    add_pixels(capture, pictures, transfer_syntax)
    if source.cine:
        capture.NumberOfFrames = len(numbers)
        capture.FrameIncrementPointer = Tag("PageNumberVector")
        capture.PageNumberVector = numbers
    _add_source_compression(capture, source)
    add_provenance(capture, source, result)
    return capture


def _add_capture_attributes(capture: Dataset, source: SourceImage, numbers: list[int]) -> None:
    multi_frame, single = (
        MultiFrameTrueColorSecondaryCaptureImageStorage,
        SecondaryCaptureImageStorage,
    )
    capture.SOPClassUID = multi_frame if source.cine else single
    capture.SeriesDescription = SERIES_DESCRIPTION
    capture.InstanceNumber = 1
    capture.Modality = "OT"
    capture.Laterality = source.header.laterality or None
    capture.PatientOrientation = None
    capture.ConversionType = "WSD"
    capture.ImageType = ["DERIVED", "SECONDARY"]
    # text burned into the source remains, and most sources do not state whether there is any
    burned_in = get_text(source.dataset, "BurnedInAnnotation")
    capture.BurnedInAnnotation = "NO" if burned_in == "NO" else "YES"
    reference = source.reference()
    if source.cine:
        reference.ReferencedFrameNumber = numbers
    capture.SourceImageSequence = [reference]
    capture.DerivationDescription = (
        "Grad-CAM and outlines of lesions laid over the image, with a legend below"
    )


def _add_source_compression(capture: Dataset, source: SourceImage) -> None:
    """List the lossy compression of the source before that of the capture (PS3.3 C.7.6.1.1.5)."""
    if get_text(source.dataset, "LossyImageCompression") != "01":
        return
    capture.LossyImageCompression = "01"
    for keyword in ("LossyImageCompressionRatio", "LossyImageCompressionMethod"):
        before = get_text(source.dataset, keyword)
        steps = before.split("\\") if before else []
        if keyword in capture:
            steps.append(str(capture[keyword].value))
        if steps:
            setattr(capture, keyword, steps)
