"""An analysis out of its rows and files, as the DICOM builders want it."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from db.files import FileStore
from db.schema import Analysis, Finding, FindingKind
from db.schema import Refusal as RefusalRow
from dicom.results.model import ImageResult, LesionResult, RefusalReason, StudyResult
from dicom.terms.classification import CLASSES
from workers.pipeline.image_file import tracking_uid
from workers.pipeline.lesion_probability import with_probability
from workers.pipeline.study import NOT_ANALYZED, algorithm_with, tracking_id
from workers.pipeline.verdict import averaged_frames
from workers.results.gray_png import read_gray, read_mask

PHANTOM_NOTE: Final = "Phantom: shows the plumbing, not the diagnosis."


def load_result(analysis: Analysis, store: FileStore) -> StudyResult:
    """The analysis as `db.analyses.whole` gives it; reads masks from the store, and heat maps when
    they are asked for.
    """
    assert analysis.finished_at is not None
    return StudyResult(
        str(analysis.id),
        (*_analyzed(analysis, store), *_refused(analysis, store)),
        analysis.label,
        analysis.probabilities,
        algorithm_with(
            analysis.pipeline_version,
            analysis.classifier_digest,
            analysis.segmenter_digest,
            analysis.confidence_threshold,
        ),
        analysis.finished_at,
        note=PHANTOM_NOTE if analysis.study.patient_id.upper().startswith("PHANTOM") else "",
        undecided=analysis.undecided,
    )


def _analyzed(analysis: Analysis, store: FileStore) -> Iterator[ImageResult]:
    # rows come in no order of their own, and the same result must give the same bytes
    findings = sorted(analysis.findings, key=lambda found: (found.number, found.frame_number))
    for image in findings:
        if image.kind is FindingKind.IMAGE:
            lesions = [
                _lesion(found, store)
                for found in findings
                if found.kind is FindingKind.LESION and found.instance_id == image.instance_id
            ]
            maps = _lesion_probabilities(image, store)
            yield replace(_image(image, store), lesions=with_probability(lesions, maps))


def _image(finding: Finding, store: FileStore) -> ImageResult:
    instance = finding.instance
    return ImageResult(
        source=store.path(instance.file),
        sop_instance_uid=instance.sop_instance_uid,
        tracking_uid=finding.tracking_uid,
        frame_number=finding.frame_number if instance.number_of_frames > 1 else None,
        label=finding.label,
        probabilities=finding.probabilities,
        spacing_mm=finding.spacing_mm,
        heatmaps=_heatmaps(finding, store),
        undecided=finding.undecided,
        averaged_frames=_averaged_frames(finding),
    )


def _averaged_frames(finding: Finding) -> tuple[int, ...]:
    if finding.instance.number_of_frames == 1:
        return ()
    return averaged_frames(
        {frame.frame_number: frame.probabilities for frame in finding.frames or ()}
    )


class _HeatMaps(Mapping[int, NDArray[np.uint8]]):
    """Read each time they are asked for: those of a whole study take too much memory."""

    def __init__(self, files: Mapping[int, Path]) -> None:
        self._files = files

    def __getitem__(self, frame: int) -> NDArray[np.uint8]:
        return read_gray(self._files[frame])

    def __iter__(self) -> Iterator[int]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


def _heatmaps(finding: Finding, store: FileStore) -> _HeatMaps:
    """Those of the image's class: what speaks for another class on a frame would mislead."""
    return _HeatMaps(
        {
            frame.frame_number: store.path(frame.heatmap_file)
            for frame in finding.frames or ()
            if frame.heatmap_file and CLASSES[np.argmax(frame.probabilities)] == finding.label
        }
    )


def _lesion_probabilities(finding: Finding, store: FileStore) -> dict[int, NDArray[np.uint8]]:
    """By frame; frames without lesions have none, nor have analyses that kept no such map."""
    return {
        frame.frame_number: read_gray(store.path(frame.lesion_probability_file))
        for frame in finding.frames or ()
        if frame.lesion_probability_file
    }


def _lesion(finding: Finding, store: FileStore) -> LesionResult:
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


def _refused(analysis: Analysis, store: FileStore) -> Iterator[ImageResult]:
    for refusal in sorted(analysis.refusals, key=lambda row: row.instance.sop_instance_uid):
        if refusal.frame_number is None:
            yield _refused_image(analysis, refusal, store)


def _refused_image(analysis: Analysis, refusal: RefusalRow, store: FileStore) -> ImageResult:
    sop_instance_uid = refusal.instance.sop_instance_uid
    return ImageResult(
        source=store.path(refusal.instance.file),
        sop_instance_uid=sop_instance_uid,
        tracking_uid=tracking_uid(analysis.study.study_instance_uid, sop_instance_uid, "image"),
        frame_number=None,
        label="",
        probabilities=NOT_ANALYZED,
        refusal=RefusalReason(refusal.code, refusal.text),
    )
