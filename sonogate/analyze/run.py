"""Analysis of image files without services, and the files that it writes."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from db.types import now_utc
from dicom.equipment import DISCLAIMER
from dicom.errors import DicomError
from dicom.files import write_dataset
from dicom.results.catalogue import DEFAULT, build_set
from dicom.results.model import RefusalReason
from dicom.terms.classification import CLASSES
from dicom.uids import derived_uid
from models.types import PresetInfo
from sonogate.analyze.overlay import draw_overlay
from workers.errors import DAMAGED_CODES
from workers.pipeline.image import analyze_image
from workers.pipeline.image_file import open_image_file
from workers.pipeline.study import algorithm_of, build_study_result
from workers.pipeline.types import (
    AnalyzedImage,
    FrameLesion,
    FramePredictor,
    ImageAnalysis,
    RefusedImage,
)

PARALLEL_FILES = 2
"""One image is read or written while another is in the networks, which take one at a time."""
UNREADABLE = "unreadable"
"""Code of a file that the operating system could not read."""


@dataclass(frozen=True)
class AnalyzedFile:
    """One input file and the JSON document that was written for it."""

    source: Path
    stem: str
    document: dict[str, Any]

    @property
    def failed(self) -> bool:
        """Whether the file could not be read, or its DICOM objects could not be built."""
        return (
            self.document.get("refused") in {UNREADABLE, *DAMAGED_CODES}
            or "dicom_problem" in self.document
        )


def analyze_files(
    sources: Sequence[Path], out: Path, predictor: FramePredictor
) -> Iterator[AnalyzedFile]:
    """Analyze the files, write the results into `out` and yield each file, in the order given.

    Raises:
        ModelError: the networks cannot be used.
        OSError: `out` cannot be written.
    """
    out.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(PARALLEL_FILES) as pool:
        yield from pool.map(
            lambda source, stem: analyze_file(source, out / stem, predictor),
            sources,
            unique_stems(sources),
        )


def unique_stems(sources: Sequence[Path]) -> list[str]:
    """Return a stem for the results of each file; repeated stems get ``-2``, ``-3`` and so on.

    A number is skipped if another file has that stem. Stems also differ when case is ignored.
    """
    own_stems = {source.stem.casefold() for source in sources}
    taken: set[str] = set()
    stems = []
    for source in sources:
        stem, number = source.stem, 1
        while stem.casefold() in taken or (number > 1 and stem.casefold() in own_stems):
            number += 1
            stem = f"{source.stem}-{number}"
        taken.add(stem.casefold())
        stems.append(stem)
    return stems


def analyze_file(source: Path, target: Path, predictor: FramePredictor) -> AnalyzedFile:
    """Write ``target.json`` and, if the image was analyzed, its pictures and DICOM objects."""
    try:
        image = analyze_image(source, predictor)
    except OSError as error:
        reason = RefusalReason(UNREADABLE, f"The file cannot be read: {error.strerror or error}.")
        image = RefusedImage(source, None, reason)
    document = describe(image, predictor.info)
    if isinstance(image, AnalyzedImage):
        _write_pictures(image, target)
        if image.header is not None:
            document |= _write_objects(image, predictor.info, target)
    _beside(target, ".json").write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    return AnalyzedFile(source, target.name, document)


def describe(image: ImageAnalysis, preset: PresetInfo) -> dict[str, Any]:
    """Return the JSON document of one file. ``class`` is the most probable class.

    Lengths are in pixels, and in millimeters if the image is calibrated.
    """
    if isinstance(image, RefusedImage):
        result: dict[str, Any] = {
            "class": None,
            "undecided": False,
            "probabilities": None,
            "frame": None,
            "findings": [],
            "refused": image.reason.code,
            "reason": image.reason.text,
        }
    else:
        classification = image.classification
        result = {
            "class": classification.label,
            "undecided": classification.undecided,
            "probabilities": dict(zip(CLASSES, classification.probabilities, strict=True)),
            "frame": image.representative.frame_number,
            "findings": [_describe_lesion(lesion) for lesion in image.lesions],
        }
    return {
        "input": str(image.source),
        **result,
        "refused_frames": [
            {
                "frame": frame.frame_number,
                "refused": frame.reason.code,
                "reason": frame.reason.text,
            }
            for frame in image.refused_frames
        ],
        "preset": asdict(preset),
        "disclaimer": DISCLAIMER,
    }


def _describe_lesion(lesion: FrameLesion) -> dict[str, Any]:
    measurements = lesion.outline.measurements
    size_mm = measurements.size_mm
    return {
        "lesion": lesion.number,
        "frame": lesion.frame_number,
        "bbox": list(lesion.outline.bbox),
        "area_px": measurements.area_px,
        "area_mm2": size_mm.area_mm2 if size_mm else None,
        "long_axis_px": measurements.long_axis_px,
        "long_axis_mm": size_mm.long_axis_mm if size_mm else None,
        "short_axis_px": measurements.short_axis_px,
        "short_axis_mm": size_mm.short_axis_mm if size_mm else None,
        "tracking_uid": lesion.tracking_uid,
    }


def _write_pictures(image: AnalyzedImage, target: Path) -> None:
    shown = image.representative
    mask = Image.fromarray(shown.mask).convert("L")  # 0 and 255
    mask.save(_beside(target, ".mask.png"))
    _, frame = next(open_image_file(image.source).decode_frames([shown.frame_number - 1]))
    if isinstance(frame, RefusalReason):  # the file has changed since its analysis
        raise OSError(f"{image.source} can no longer be decoded")
    outlines = (lesion.outline.contour for lesion in shown.lesions)
    draw_overlay(frame, shown.heatmap, outlines).save(_beside(target, ".overlay.png"))


def _write_objects(image: AnalyzedImage, preset: PresetInfo, target: Path) -> dict[str, str]:
    """Write SEG and SR. Return what to add to the JSON document if they cannot be built.

    The UIDs depend on the file and the weights only.
    """
    algorithm = algorithm_of(preset)
    with image.source.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    analysis_id = derived_uid("offline", digest, algorithm.device_uid)
    result = build_study_result(
        [image], analysis_id=analysis_id, algorithm=algorithm, produced_at=now_utc()
    )
    try:
        objects = list(build_set(DEFAULT, result))
    except DicomError as error:
        return {"dicom_problem": str(error)}
    for spec, dataset in objects:  # at most one of each kind, because there is one image
        write_dataset(dataset, _beside(target, f".{spec.kind.name}.dcm"))
    return {}


def _beside(target: Path, ending: str) -> Path:
    """Append an ending. `Path.with_suffix` would cut a stem with dots."""
    return target.with_name(target.name + ending)
