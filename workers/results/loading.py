"""The result of a stored analysis, as the builders of DICOM objects take it."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from db.files import FileStore
from db.schema import Analysis, Finding, FindingKind
from dicom.results.model import ImageRefusal, ImageResult, LesionResult, RefusalReason, StudyResult
from dicom.terms.classification import CLASSES
from workers.pipeline.lesion_probability import add_probabilities
from workers.pipeline.study import averaged_frames_of, build_algorithm, tracking_id
from workers.results.gray_png import read_gray, read_mask

PHANTOM_NOTE: Final = "Phantom images, for testing only. Not for diagnosis."


def load_result(analysis: Analysis, store: FileStore) -> StudyResult:
    """Return the result of an analysis from `db.analyses.load_complete`.

    Masks are read from the store. Heat maps are read when they are used.

    Raises:
        ValueError: the analysis is not finished, or a lesion has no outline.
    """
    if analysis.finished_at is None:
        raise ValueError(f"analysis {analysis.id} is not finished")
    refusals = sorted(analysis.refusals, key=lambda row: row.instance.sop_instance_uid)
    return StudyResult(
        str(analysis.id),
        tuple(_image_results(analysis, store)),
        analysis.label,
        analysis.probabilities,
        build_algorithm(
            analysis.pipeline_version,
            analysis.classifier_digest,
            analysis.segmenter_digest,
            analysis.confidence_threshold,
        ),
        analysis.finished_at,
        note=PHANTOM_NOTE if analysis.study.patient_id.upper().startswith("PHANTOM") else "",
        undecided=analysis.undecided,
        refused_images=tuple(
            ImageRefusal(
                store.path(refusal.instance.file),
                refusal.instance.sop_instance_uid,
                RefusalReason(refusal.code, refusal.text),
            )
            for refusal in refusals
            if refusal.frame_number is None
        ),
    )


def _image_results(analysis: Analysis, store: FileStore) -> Iterator[ImageResult]:
    # The database returns rows in any order, but the same result must give the same bytes.
    findings = sorted(analysis.findings, key=lambda row: (row.number, row.frame_number))
    for image in findings:
        if image.kind is FindingKind.IMAGE:
            lesions = [
                _lesion_result(finding, store)
                for finding in findings
                if finding.kind is FindingKind.LESION and finding.instance_id == image.instance_id
            ]
            yield _image_result(image, lesions, store)


def _image_result(image: Finding, lesions: list[LesionResult], store: FileStore) -> ImageResult:
    instance, frames = image.instance, image.frames or ()
    maps = {
        frame.frame_number: read_gray(store.path(frame.lesion_probability_file))
        for frame in frames
        if frame.lesion_probability_file
    }
    # A heat map of another class would mislead beside the image's class.
    heatmap_files = {
        frame.frame_number: store.path(frame.heatmap_file)
        for frame in frames
        if frame.heatmap_file and CLASSES[np.argmax(frame.probabilities)] == image.label
    }
    return ImageResult(
        source=store.path(instance.file),
        sop_instance_uid=instance.sop_instance_uid,
        tracking_uid=image.tracking_uid,
        frame_number=image.frame_number if instance.number_of_frames > 1 else None,
        label=image.label,
        probabilities=image.probabilities,
        lesions=add_probabilities(lesions, maps),
        spacing_mm=image.spacing_mm,
        heatmaps=_HeatMaps(heatmap_files),
        undecided=image.undecided,
        averaged_frames=averaged_frames_of(
            instance.number_of_frames, {frame.frame_number: frame.probabilities for frame in frames}
        ),
    )


class _HeatMaps(Mapping[int, NDArray[np.uint8]]):
    """Heat maps that are read on each access: those of a whole study do not fit in memory."""

    def __init__(self, files: Mapping[int, Path]) -> None:
        self._files = files

    def __getitem__(self, frame: int) -> NDArray[np.uint8]:
        return read_gray(self._files[frame])

    def __iter__(self) -> Iterator[int]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


def _lesion_result(finding: Finding, store: FileStore) -> LesionResult:
    if not (finding.mask_file and finding.contour and finding.measurements):
        raise ValueError(f"finding {finding.id} has no outline")
    return LesionResult(
        tracking_uid=finding.tracking_uid,
        tracking_id=tracking_id(finding.number),
        frame_number=finding.frame_number,
        mask=read_mask(store.path(finding.mask_file)),
        contour=tuple((x, y) for x, y in finding.contour),
        measurements=finding.measurements,
        label=finding.label,
        probabilities=finding.probabilities,
        undecided=finding.undecided,
    )
