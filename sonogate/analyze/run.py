"""The pipeline on files, without any service: what `sonogate analyze` writes."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from db.types import now_utc
from dicom.equipment import DISCLAIMER
from dicom.errors import DicomError
from dicom.files import write_dataset
from dicom.results.model import RefusalReason, StudyResult
from dicom.results.seg.build import build_segmentations
from dicom.results.sr.build import build_report
from dicom.terms.classification import CLASSES
from dicom.uids import derived_uid
from models.types import PresetInfo
from sonogate.analyze.overlay import draw_overlay
from workers.pipeline.image import analyze_image
from workers.pipeline.image_file import open_picture
from workers.pipeline.study import algorithm_of, study_result
from workers.pipeline.types import FoundLesion, FrameAnalysis, FramePredictor, ImageAnalysis

SIDE_BY_SIDE = 2
"""While one image is in the networks another is read and written; the networks take turns."""
DAMAGED = frozenset(
    {"not-dicom", "not-an-image", "truncated-file", "invalid-header"}
    | {"undecodable-frame", "unreadable"}
)
"""Refusals of files that could not be read, as against images that should not be analyzed."""


@dataclass(frozen=True)
class Analyzed:
    """One input and the JSON that was written for it."""

    source: Path
    stem: str
    document: dict[str, Any]

    @property
    def failed(self) -> bool:
        """Not read, or not written as DICOM; a refusal is no failure."""
        return self.document.get("refused") in DAMAGED or "dicom_problem" in self.document


def analyze_files(
    sources: Sequence[Path], out: Path, predictor: FramePredictor
) -> Iterator[Analyzed]:
    """Analyze each file, write its outputs into `out`, and yield it, in the order given.

    Raises ModelError when the networks cannot be used, OSError when `out` cannot be written.
    """
    out.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        yield from pool.map(
            lambda source, stem: analyze_file(source, out / stem, predictor),
            sources,
            unique_stems(sources),
        )


def unique_stems(sources: Sequence[Path]) -> list[str]:
    """The stem of each file; of several files with one stem the second gets ``-2``, and so on.

    No file takes a name that another one has by nature, nor one that differs in case alone.
    """
    natural = {source.stem.casefold() for source in sources}
    taken: set[str] = set()
    stems = []
    for source in sources:
        stem, number = source.stem, 1
        while stem.casefold() in taken or (number > 1 and stem.casefold() in natural):
            number += 1
            stem = f"{source.stem}-{number}"
        taken.add(stem.casefold())
        stems.append(stem)
    return stems


def analyze_file(source: Path, target: Path, predictor: FramePredictor) -> Analyzed:
    """Write ``target.json`` and, when the image was analyzed, the pictures and DICOM objects."""
    try:
        image = analyze_image(source, predictor)
    except OSError as error:
        reason = RefusalReason("unreadable", f"The file cannot be read: {error.strerror or error}.")
        image = ImageAnalysis(source, None, "", (0, 0), refusal=reason)
    document = describe(image, predictor.info)
    if image.representative is not None:
        _write_pictures(image, image.representative, target)
        if image.header is not None:
            document |= _write_objects(image, predictor.info, target)
    _beside(target, ".json").write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    return Analyzed(source, target.name, document)


def describe(image: ImageAnalysis, preset: PresetInfo) -> dict[str, Any]:
    """The JSON of one input. Lengths are pixels, and millimeters when the image is calibrated.

    ``class`` is the most probable one; it is not asserted where the image is ``undecided``.
    """
    refused = {"refused": image.refusal.code, "reason": image.refusal.text} if image.refusal else {}
    return {
        "input": str(image.source),
        "class": image.label,
        "undecided": image.undecided,
        "probabilities": image.probabilities
        and dict(zip(CLASSES, image.probabilities, strict=True)),
        "frame": image.frame_number,
        "findings": [_finding(lesion) for lesion in image.lesions],
        **refused,
        "refused_frames": [
            {"frame": each.frame_number, "refused": each.refusal.code, "reason": each.refusal.text}
            for each in image.refused_frames
        ],
        "preset": vars(preset),
        "disclaimer": DISCLAIMER,
    }


def _finding(lesion: FoundLesion) -> dict[str, Any]:
    outline = lesion.outline
    measurements, size_mm = outline.measurements, outline.measurements.size_mm
    return {
        "lesion": lesion.number,
        "frame": lesion.frame_number,
        "bbox": list(outline.bbox),
        "area_px": measurements.area_px,
        "area_mm2": size_mm.area_mm2 if size_mm else None,
        "long_axis_px": measurements.long_axis_px,
        "long_axis_mm": size_mm.long_axis_mm if size_mm else None,
        "short_axis_px": measurements.short_axis_px,
        "short_axis_mm": size_mm.short_axis_mm if size_mm else None,
        "tracking_uid": lesion.tracking_uid,
    }


def _write_pictures(image: ImageAnalysis, shown: FrameAnalysis, target: Path) -> None:
    mask = Image.fromarray(shown.mask).convert("L")  # 0 and 255
    mask.save(_beside(target, ".mask.png"))
    _, frame = next(open_picture(image.source).frames([shown.frame_number - 1]))
    assert not isinstance(frame, RefusalReason)  # it was decoded a moment ago
    outlines = (lesion.outline.contour for lesion in shown.lesions)
    draw_overlay(frame, shown.heatmap, outlines).save(_beside(target, ".overlay.png"))


def _write_objects(image: ImageAnalysis, preset: PresetInfo, target: Path) -> dict[str, str]:
    """Write SEG and SR; what is to be said in the JSON when they cannot be made."""
    result = _result(image, preset)
    try:
        segmentations = build_segmentations(result)
        report = build_report(result, segmentations)
    except DicomError as error:
        return {"dicom_problem": str(error)}
    for segmentation in segmentations:  # one for an image with lesions, none without
        write_dataset(segmentation, _beside(target, ".seg.dcm"))
    write_dataset(report, _beside(target, ".sr.dcm"))
    return {}


def _result(image: ImageAnalysis, preset: PresetInfo) -> StudyResult:
    """The same file under the same weights makes objects with the same UIDs."""
    algorithm = algorithm_of(preset)
    with image.source.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    analysis_id = derived_uid("offline", digest, algorithm.device_uid)
    return study_result(
        [image], analysis_id=analysis_id, algorithm=algorithm, produced_at=now_utc()
    )


def _beside(target: Path, ending: str) -> Path:
    """`target` with an ending; the stem itself may hold dots, which `with_suffix` would cut."""
    return target.with_name(target.name + ending)
