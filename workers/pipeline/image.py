"""One image through the networks: gate, sample, decode, crop, predict, outline, measure, link."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from dicom.errors import DicomError
from dicom.images.frames import sample_frames
from dicom.images.pixel_gate import find_pixel_refusal
from dicom.images.regions import BModeRegion
from dicom.results.model import RefusalReason
from dicom.terms.classification import NORMAL, Probabilities
from models.measure import LesionOutline, find_lesions
from models.types import FramePrediction
from workers.pipeline.image_file import Picture, open_picture
from workers.pipeline.lesion_probability import of_outlined
from workers.pipeline.linking import link
from workers.pipeline.types import (
    FoundLesion,
    Frame,
    FrameAnalysis,
    FramePredictor,
    FrameRefusal,
    ImageAnalysis,
)
from workers.pipeline.verdict import Verdict, image_verdict, is_undecided

CINE_FRAMES: Final = 32
BATCH_SIZE: Final = 8
T = TypeVar("T")
P = TypeVar("P", np.bool_, np.uint8)


def analyze_image(
    path: Path,
    predictor: FramePredictor,
    *,
    cine_frames: int = CINE_FRAMES,
    batch_size: int = BATCH_SIZE,
) -> ImageAnalysis:
    """Analyze a DICOM file, PNG or JPEG, or say why not.

    At most ``cine_frames`` frames, evenly spread, are looked at. Only ``batch_size`` of them are
    decoded at a time; what stays of each is a mask, a heat map and the probability of lesions, of
    the frame's size and a byte a pixel. A frame that cannot be decoded, or shows nothing, is
    refused alone; an image without any other frame is refused as a whole. Outlines are kept on
    frames not labeled normal of images not labeled normal: an outline beside the word "normal"
    would contradict it.

    Raises:
        OSError: the file cannot be read at all.
        ModelError: the networks cannot be used.
    """
    try:
        picture = open_picture(path)
    except DicomError as error:
        return ImageAnalysis(path, None, "", (0, 0), refusal=_reason(error))
    try:
        return _analyze(picture, predictor, cine_frames, batch_size)
    except DicomError as error:
        return _refused(picture, _reason(error))


def _analyze(
    picture: Picture, predictor: FramePredictor, cine_frames: int, batch_size: int
) -> ImageAnalysis:
    refusal = picture.refusal()
    if refusal:
        return _refused(picture, refusal)
    look = _Look(picture, predictor, batch_size)
    look.at(sample_frames(picture.frame_count, cine_frames))
    if not look.seen:
        return _refused(picture, look.refused[0].refusal, look.refused)
    verdict = image_verdict(
        [frame.probabilities for frame in look.seen], predictor.info.confidence_threshold
    )
    return ImageAnalysis(
        picture.source,
        picture.header,
        picture.tracking_uid("image"),
        picture.shape,
        look.region,
        tuple(_outlined(picture, look, verdict)),
        verdict.probabilities,
        verdict.label,
        look.seen[verdict.representative].frame_number,
        tuple(look.refused),
        undecided=verdict.undecided,
    )


def _reason(error: DicomError) -> RefusalReason:
    return RefusalReason(error.code, str(error))


def _refused(
    picture: Picture, refusal: RefusalReason, frames: Sequence[FrameRefusal] = ()
) -> ImageAnalysis:
    return ImageAnalysis(
        picture.source,
        picture.header,
        picture.tracking_uid("image"),
        picture.shape,
        refused_frames=tuple(frames),
        refusal=refusal,
    )


@dataclass(frozen=True, eq=False)
class _Seen:
    """What the networks said of one frame, in pixels of the whole frame."""

    frame_number: int
    probabilities: Probabilities
    label: str
    undecided: bool
    mask: NDArray[np.bool_]
    heatmap: NDArray[np.uint8]
    lesion_probability: NDArray[np.uint8] | None


class _Look:
    """Frames of one picture on their way through the networks, a batch at a time."""

    def __init__(self, picture: Picture, predictor: FramePredictor, batch_size: int) -> None:
        self.region: BModeRegion | None = None
        self.seen: list[_Seen] = []
        self.refused: list[FrameRefusal] = []
        self._picture = picture
        self._predictor = predictor
        # The networks are traced for whole batches: a still would pay for the empty places of one.
        self._batch_size = batch_size if picture.frame_count > 1 else 1

    def at(self, indices: Sequence[int]) -> None:
        for batch in _batches(self._usable(indices), self._batch_size):
            self._predict(batch)

    def _usable(self, indices: Sequence[int]) -> Iterator[tuple[int, Frame]]:
        for index, frame in self._picture.frames(indices):
            crop = frame if isinstance(frame, RefusalReason) else self._crop(frame)
            if isinstance(crop, RefusalReason):
                self.refused.append(FrameRefusal(index + 1, crop))
            else:
                yield index, crop

    def _crop(self, frame: Frame) -> Frame | RefusalReason:
        region = self.region or self._picture.region(frame)
        crop = frame[region.y0 : region.y1, region.x0 : region.x1]
        if refusal := find_pixel_refusal(frame, region):
            return refusal
        self.region = region  # one for all frames, and not one guessed from a black frame
        return crop

    def _predict(self, batch: Sequence[tuple[int, Frame]]) -> None:
        predictions = self._predictor.predict(
            [crop for _, crop in batch], batch_size=self._batch_size
        )
        for (index, _), prediction in zip(batch, predictions, strict=True):
            self.seen.append(self._placed(index + 1, prediction))

    def _placed(self, frame_number: int, prediction: FramePrediction) -> _Seen:
        said, lesion = prediction.probabilities, prediction.lesion_probability
        return _Seen(
            frame_number,
            said,
            prediction.label,
            is_undecided(said, self._predictor.info.confidence_threshold),
            self._whole(prediction.mask),
            self._whole(np.rint(prediction.heatmap * 255).astype(np.uint8)),
            None if lesion is None else self._whole(lesion),
        )

    def _whole(self, looked_at: NDArray[P]) -> NDArray[P]:
        """In its place in the frame, with nothing around it."""
        assert self.region is not None
        whole = np.zeros(self._picture.shape, looked_at.dtype)
        whole[self.region.y0 : self.region.y1, self.region.x0 : self.region.x1] = looked_at
        return whole


def _outlined(picture: Picture, look: _Look, verdict: Verdict) -> Iterator[FrameAnalysis]:
    spacing_mm = look.region.spacing_mm if look.region else None
    found = [
        [] if NORMAL in (frame.label, verdict.label) else find_lesions(frame.mask, spacing_mm)
        for frame in look.seen
    ]
    for frame, lesions, numbers in zip(look.seen, found, link(found), strict=True):
        outlined = _union(lesions, frame.mask.shape)
        whole = frame.lesion_probability if lesions else None
        yield FrameAnalysis(
            frame.frame_number,
            frame.probabilities,
            frame.label,
            outlined,
            frame.heatmap,
            tuple(
                _lesion(picture, frame, lesion, number)
                for lesion, number in zip(lesions, numbers, strict=True)
            ),
            None if whole is None else of_outlined(whole, frame.mask, outlined),
        )


def _lesion(picture: Picture, frame: _Seen, outline: LesionOutline, number: int) -> FoundLesion:
    return FoundLesion(
        number,
        picture.tracking_uid("lesion", str(number)),
        frame.frame_number,
        outline,
        frame.label,
        frame.probabilities,
        frame.undecided,
    )


def _union(lesions: Sequence[LesionOutline], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    union = np.zeros(shape, np.bool_)
    for lesion in lesions:
        union |= lesion.mask
    return union


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch
