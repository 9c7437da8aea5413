"""Analysis of one image: check, sample, decode, crop, predict, outline, measure and link."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from dicom.errors import DicomError
from dicom.images.frames import sample_frames
from dicom.images.limits import check_image_bytes
from dicom.images.pixel_gate import find_pixel_refusal
from dicom.images.regions import BModeRegion
from dicom.results.model import RefusalReason
from dicom.terms.classification import NORMAL, Classification
from models.measure import find_lesions
from workers.pipeline.aggregation import classify_image
from workers.pipeline.image_file import ImageFile, open_image_file, to_refusal_reason
from workers.pipeline.lesion_probability import clear_dropped_patches
from workers.pipeline.linking import link_lesions
from workers.pipeline.types import (
    AnalyzedImage,
    Frame,
    FrameAnalysis,
    FrameLesion,
    FramePredictor,
    FrameRefusal,
    ImageAnalysis,
    RefusedImage,
)

CINE_FRAMES: Final = 32
BATCH_SIZE: Final = 8
P = TypeVar("P", np.bool_, np.uint8)


def analyze_image(
    path: Path,
    predictor: FramePredictor,
    *,
    cine_frames: int = CINE_FRAMES,
    batch_size: int = BATCH_SIZE,
) -> ImageAnalysis:
    """Analyze a DICOM file, PNG or JPEG, or refuse it with a reason.

    At most ``cine_frames`` evenly spread frames are analyzed, ``batch_size`` of them decoded at a
    time. The result holds a mask, a heat map and the probability of lesions for each of them, of
    the frame's size and one byte per pixel. A frame that cannot be decoded or is black is refused;
    an image is refused if all its frames are. Lesions are outlined only if neither the frame nor
    the image is labeled normal, since an outline would contradict that label.

    Raises:
        OSError: the file cannot be read.
        ModelError: the networks cannot be used.
    """
    try:
        file = open_image_file(path)
    except DicomError as error:
        return RefusedImage(path, None, to_refusal_reason(error))
    try:
        return _analyze(file, predictor, cine_frames, batch_size)
    except DicomError as error:
        return RefusedImage(file.source, file.header, to_refusal_reason(error))


def _analyze(
    file: ImageFile, predictor: FramePredictor, cine_frames: int, batch_size: int
) -> ImageAnalysis:
    if reason := file.find_refusal():
        return RefusedImage(file.source, file.header, reason)
    refused: list[FrameRefusal] = []
    indices = sample_frames(file.frame_count, cine_frames)
    check_image_bytes(*file.shape, len(indices))
    cropped = _crop_frames(file, indices, refused)
    # The networks are compiled for full batches: a still would be padded to the size of one.
    size = batch_size if file.frame_count > 1 else 1
    predicted = list(_predict_frames(cropped, file.shape, predictor, size))
    if not predicted:
        return RefusedImage(file.source, file.header, refused[0].reason, tuple(refused))
    classification, representative = classify_image(
        [frame.classification.probabilities for frame in predicted],
        predictor.info.confidence_threshold,
    )
    frames = tuple(_outline_frames(file, predicted, classification.label))
    return AnalyzedImage(
        file.source,
        file.header,
        file.tracking_uid("image"),
        file.shape,
        predicted[0].region,
        frames,
        classification,
        frames[representative],
        tuple(refused),
    )


@dataclass(frozen=True, eq=False)
class _CroppedFrame:
    number: int
    pixels: Frame
    region: BModeRegion


@dataclass(frozen=True, eq=False)
class _PredictedFrame:
    """The networks' output for one frame, in pixels of the whole frame."""

    number: int
    region: BModeRegion
    classification: Classification
    mask: NDArray[np.bool_]
    heatmap: NDArray[np.uint8]
    lesion_probability: NDArray[np.uint8] | None


def _crop_frames(
    file: ImageFile, indices: Sequence[int], refused: list[FrameRefusal]
) -> Iterator[_CroppedFrame]:
    """Yield frames cropped to the B-mode region; append the others to ``refused``.

    The region is the same for all frames. It is taken from the first usable one, because it cannot
    be found in a black frame.
    """
    shared_region: BModeRegion | None = None
    for index, frame in file.decode_frames(indices):
        if isinstance(frame, RefusalReason):
            refused.append(FrameRefusal(index + 1, frame))
            continue
        region = shared_region or file.find_region(frame)
        if reason := find_pixel_refusal(frame, region):
            refused.append(FrameRefusal(index + 1, reason))
            continue
        shared_region = region
        pixels = frame[region.y0 : region.y1, region.x0 : region.x1]
        yield _CroppedFrame(index + 1, pixels, region)


def _predict_frames(
    frames: Iterator[_CroppedFrame],
    shape: tuple[int, int],
    predictor: FramePredictor,
    batch_size: int,
) -> Iterator[_PredictedFrame]:
    while batch := list(islice(frames, batch_size)):
        predictions = predictor.predict([frame.pixels for frame in batch], batch_size=batch_size)
        for frame, prediction in zip(batch, predictions, strict=True):
            lesion = prediction.lesion_probability
            undecided = max(prediction.probabilities) < predictor.info.confidence_threshold
            yield _PredictedFrame(
                frame.number,
                frame.region,
                Classification(prediction.label, prediction.probabilities, undecided),
                _place(prediction.mask, frame.region, shape),
                _place(np.rint(prediction.heatmap * 255).astype(np.uint8), frame.region, shape),
                None if lesion is None else _place(lesion, frame.region, shape),
            )


def _place(cropped: NDArray[P], region: BModeRegion, shape: tuple[int, int]) -> NDArray[P]:
    """Return an array of the whole frame that is zero outside the region."""
    whole = np.zeros(shape, cropped.dtype)
    whole[region.y0 : region.y1, region.x0 : region.x1] = cropped
    return whole


def _outline_frames(
    file: ImageFile, frames: Sequence[_PredictedFrame], image_label: str
) -> Iterator[FrameAnalysis]:
    outlines = [
        find_lesions(frame.mask, frame.region.spacing_mm)
        if NORMAL not in (frame.classification.label, image_label)
        else []
        for frame in frames
    ]
    for frame, found, numbers in zip(frames, outlines, link_lesions(outlines), strict=True):
        outlined = np.zeros_like(frame.mask)
        for outline in found:
            outlined |= outline.mask
        probability = frame.lesion_probability if found else None
        if probability is not None:
            probability = clear_dropped_patches(probability, frame.mask, outlined)
        lesions = tuple(
            FrameLesion(
                number,
                file.tracking_uid("lesion", str(number)),
                frame.number,
                outline,
                frame.classification,
            )
            for outline, number in zip(found, numbers, strict=True)
        )
        yield FrameAnalysis(
            frame.number, frame.classification, outlined, frame.heatmap, lesions, probability
        )
