"""SHADOW: a second preset looks at the images of a finished analysis; rows only, never results.

It can neither delay a result nor change one: it runs when no result is being made, in a thread of
its own, and leaves what it began as soon as there is one to make.
"""

import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from db import analyses, shadows
from db.engine import Database
from db.files import FileStore
from db.jobs import Claim
from db.schema import Analysis, Finding, FindingKind, Job, ShadowAnalysis, ShadowImage
from dicom.terms.classification import Classification
from models.types import FramePrediction, PresetInfo
from workers.errors import Postponed, WorkError
from workers.jobs.handler import JobFailure, SaveResult
from workers.pipeline.aggregation import classify_study
from workers.pipeline.image import analyze_image
from workers.pipeline.study import pipeline_version
from workers.pipeline.types import AnalyzedImage, Frame, FramePredictor
from workers.results.gray_png import read_mask
from workers.services import WorkerServices

Mask = NDArray[np.bool_]
_NAME_CHARACTERS: Final = 64


class Shadow:
    """Subject: an analysis."""

    def __init__(self, services: WorkerServices) -> None:
        self._services = services

    def handle(self, claim: Claim, now: datetime) -> SaveResult:
        if self._services.shadow is None:
            raise WorkError("there is no shadow preset: set SONOGATE_SHADOW_PRESET_DIR")
        look_out = _LookOut(self._services.database, now)
        look_out.check()
        with self._services.database.read() as session:
            analysis = analyses.load_complete(session, claim.subject_id)
        predictor = _Yielding(self._services.shadow(), look_out)
        if pipeline_version(predictor.info) == analysis.pipeline_version:
            return _nothing
        images = list(self._images(analysis, predictor))
        classification = classify_study([image.classification for image in images])
        if classification is None:
            return _nothing
        shadow = _shadow(analysis, predictor.info, classification)
        return lambda session, now: _write(session, shadow, images, now)

    def on_failure(self, session: Session, job: Job, failure: JobFailure, now: datetime) -> None:
        if failure.given_up:
            shadows.record_failure(session, job.subject_id, failure.reason, now)

    def _images(self, analysis: Analysis, predictor: FramePredictor) -> Iterator[ShadowImage]:
        """A row at a time, so that the arrays of one image only are in memory."""
        store, settings = self._services.store, self._services.settings
        for active in analysis.findings:
            if active.kind is FindingKind.IMAGE:
                image = analyze_image(
                    store.path(active.instance.file),
                    predictor,
                    cine_frames=settings.max_cine_frames,
                    batch_size=settings.batch_size,
                )
                if isinstance(image, AnalyzedImage):
                    yield _image(active, _lesions(analysis, active), image, store)


class _LookOut:
    """Keeps an eye on the queue while the shadow job_handlers."""

    def __init__(self, database: Database, now: datetime) -> None:
        self._database = database
        self._now = now
        self._began = time.monotonic()

    def check(self) -> None:
        """Raises Postponed: somebody waits for a result."""
        now = self._now + timedelta(seconds=time.monotonic() - self._began)
        with self._database.read() as session:
            if not shadows.is_idle(session, now):
                raise Postponed


class _Yielding:
    """The shadow's networks; between two batches they give way."""

    def __init__(self, predictor: FramePredictor, look_out: _LookOut) -> None:
        self.info = predictor.info
        self._predictor = predictor
        self._look_out = look_out

    def predict(self, frames: Sequence[Frame], *, batch_size: int = 8) -> list[FramePrediction]:
        self._look_out.check()
        return self._predictor.predict(frames, batch_size=batch_size)


def _nothing(_session: Session, _now: datetime) -> None:
    """The shadow preset is the active one, or could not look at anything."""


def _write(
    session: Session, shadow: ShadowAnalysis, images: Sequence[ShadowImage], now: datetime
) -> None:
    shadow.finished_at = now
    shadow.images = list(images)
    shadows.record(session, shadow, now)


def _shadow(analysis: Analysis, info: PresetInfo, classification: Classification) -> ShadowAnalysis:
    return ShadowAnalysis(
        analysis_id=analysis.id,
        pipeline_version=pipeline_version(info),
        preset_name=info.name[:_NAME_CHARACTERS],
        preset_version=info.version[:_NAME_CHARACTERS],
        classifier_digest=info.classifier_digest,
        segmenter_digest=info.segmenter_digest,
        classification=classification,
        agrees=classification.asserted_class == analysis.asserted_class,
    )


def _lesions(analysis: Analysis, image: Finding) -> list[Finding]:
    return [
        finding
        for finding in analysis.findings
        if finding.kind is FindingKind.LESION and finding.instance_id == image.instance_id
    ]


def _image(
    active: Finding, lesions: Sequence[Finding], image: AnalyzedImage, store: FileStore
) -> ShadowImage:
    here = next((f for f in image.frames if f.frame_number == active.frame_number), None)
    before = _active_mask(active, lesions, image.shape, store)
    return ShadowImage(
        instance_id=active.instance_id,
        frame_number=active.frame_number,
        classification=image.classification,
        lesions=len({lesion.number for lesion in image.lesions}),
        area_px=int(here.mask.sum()) if here else 0,
        active_lesions=len({lesion.tracking_uid for lesion in lesions}),
        active_area_px=int(before.sum()),
        dice=_dice(before, here.mask) if here else None,
        agrees=image.classification.asserted_class == active.asserted_class,
    )


def _active_mask(
    active: Finding, lesions: Sequence[Finding], shape: tuple[int, int], store: FileStore
) -> Mask:
    """What is outlined on the frame that speaks for the image."""
    union = np.zeros(shape, np.bool_)
    for lesion in lesions:
        if lesion.frame_number == active.frame_number and lesion.mask_file is not None:
            union |= read_mask(store.path(lesion.mask_file))
    return union


def _dice(one: Mask, other: Mask) -> float | None:
    total = int(one.sum()) + int(other.sum())
    return 2 * int((one & other).sum()) / total if total else None
