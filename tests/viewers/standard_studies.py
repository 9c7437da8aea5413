"""The studies that every viewer is shown: one object of each result kind and variant."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.pixels.utils import pixel_array
from scipy import ndimage

from dicom.files import write_dataset
from dicom.results.catalogue import CATALOGUE, build_set
from dicom.results.model import ImageResult, StudyResult
from dicom.results.result_kind import ResultSpec
from dicom.results.segmentation_reader import read_back_segmentation
from dicom.uids import derived_uid
from models.phantom import Phantom, make_cine, make_phantom
from models.types import FramePrediction
from sonogate.destination_test.phantom_study import PhantomPredictor
from tests.dicom import making
from workers.pipeline.image import analyze_image
from workers.pipeline.study import algorithm_of, build_study_result

SPECS: tuple[str, ...] = tuple(
    str(ResultSpec(kind, variant)) for kind in CATALOGUE.values() for variant in kind.variants
)
"""Every result kind in every variant, in the order of the catalogue."""
OVERLAYS: Final = ("SEG", "SR", "KO", "PR")
"""Modalities of objects that a viewer shows on the image that they refer to."""
IN_SPACE: Final = "still in space"
_SPACING_MM = 0.16
_EDGE_PX = 2
_PIXELS: Final = ("PixelData", "FloatPixelData")


@dataclass(frozen=True, eq=False)
class StandardStudy:
    """One image with its analysis, and the objects that were made of it.

    Every image is calibrated and has one lesion, with a probability map: a cine on some of its
    frames. The cine's size is
    odd, so that a frame of a binary segmentation does not end with a byte.
    """

    name: str
    source: Path
    result: StudyResult
    files: Mapping[str, Path]
    """By spec. A spec of which the study has no object is absent: see `heatmap-pm`."""

    @property
    def image(self) -> ImageResult:
        (image,) = self.result.images
        return image

    @property
    def frames(self) -> NDArray[np.uint8]:
        """The source's pixels, (frames, rows, columns)."""
        return read_frames(self.source)

    @property
    def masks(self) -> Mapping[int, NDArray[np.bool_]]:
        """The pixels of all lesions, by frame."""
        masks: dict[int, NDArray[np.bool_]] = {}
        for lesion in self.image.lesions:
            known = masks.get(lesion.frame_number, np.zeros_like(lesion.mask))
            masks[lesion.frame_number] = known | lesion.mask
        return masks

    @property
    def reported_frame(self) -> int:
        """The frame with a lesion that the image's class was read from."""
        frame = self.image.frame_number or 1
        return frame if frame in self.masks else min(self.masks)


class _ProbablePhantoms(PhantomPredictor):
    """As networks do, returns how probable it is that a pixel is a lesion, with a soft edge."""

    def predict(
        self, frames: Sequence[NDArray[np.uint8]], *, batch_size: int = 8
    ) -> list[FramePrediction]:
        predictions = super().predict(frames, batch_size=batch_size)
        return [replace(one, lesion_probability=_soften(one.mask)) for one in predictions]


def _soften(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    soft = ndimage.gaussian_filter(255 * mask.astype(np.float32), _EDGE_PX)
    return np.asarray(np.rint(soft), dtype=np.uint8)


def applies(spec: str, study: StandardStudy) -> bool:
    """Whether a viewer is shown this object: the study in space serves `heatmap-pm` alone."""
    return spec in study.files and (study.name != IN_SPACE or spec == "heatmap-pm")


def read_frames(path: Path) -> NDArray[np.uint8]:
    """Return all frames, (frames, rows, columns) or (frames, rows, columns, 3)."""
    pixels = pixel_array(path)
    colors = 1 if pixels.shape[-1] == 3 else 0
    frames: NDArray[np.uint8] = pixels if pixels.ndim - colors == 3 else pixels[np.newaxis]
    return frames


def has_pixels(path: Path) -> bool:
    return any(keyword in pydicom.dcmread(path) for keyword in _PIXELS)


def read_modality(path: Path) -> str:
    return str(pydicom.dcmread(path, specific_tags=["Modality"]).Modality)


def segmented_frames(path: Path) -> Mapping[int, NDArray[np.uint8]]:
    """Return the values of all segments of a segmentation, by frame of the source."""
    frames: dict[int, NDArray[np.uint8]] = {}
    for segment in read_back_segmentation(path).segments:
        for frame, plane in segment.planes.items():
            frames[frame] = np.maximum(frames.get(frame, np.zeros_like(plane)), plane)
    return frames


def make_standard_studies(folder: Path) -> list[StandardStudy]:
    """Build the still, the still whose header places it in space, and the cine, in `folder`."""
    still = [make_phantom("spiculated", seed=31, height=240, width=320, spacing_mm=_SPACING_MM)]
    cine = make_cine("spiculated", seed=32, frames=5, height=203, width=301, spacing_mm=_SPACING_MM)
    return [
        _make_study(folder, "still", still),
        _make_study(folder, IN_SPACE, still, changes=making.PLANE),
        _make_study(folder, "cine", cine),
    ]


def _make_study(
    folder: Path,
    name: str,
    phantoms: Sequence[Phantom],
    changes: Mapping[str, object] | None = None,
) -> StandardStudy:
    home = folder / name.replace(" ", "-")
    home.mkdir(parents=True)
    frames = [phantom.image for phantom in phantoms]
    source = making.write_image(
        home / "image.dcm",
        frames if len(frames) > 1 else frames[0],
        spacing_mm=_SPACING_MM,
        study=replace(making.STUDY, study_instance_uid=derived_uid("viewers", name)),
        changes=changes,
    )
    result = build_study_result(
        [analyze_image(source, _ProbablePhantoms(phantoms))],
        analysis_id=derived_uid("viewers-analysis", name),
        algorithm=algorithm_of(_ProbablePhantoms.info),
        produced_at=making.MOMENT,
    )
    specs = [ResultSpec(kind, variant) for kind in CATALOGUE.values() for variant in kind.variants]
    files = {}
    for spec, dataset in build_set(specs, result):
        path = home / f"{str(spec).replace(':', '-')}.dcm"
        files[str(spec)] = write_dataset(dataset, path).path
    return StandardStudy(name, source, result, files)
