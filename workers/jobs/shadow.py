"""Job kind SHADOW: analyze the images of an analysis with the shadow preset, for comparison.

It never changes or delays a result: it runs in a thread of its own, only while no result is being
produced, and is postponed as soon as one is.
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
from models.types import FramePrediction
from workers.errors import Postponed, WorkError
from workers.jobs.handler import JobFailure, SaveResult, save_nothing
from workers.pipeline.aggregation import classify_study
from workers.pipeline.image import analyze_image
from workers.pipeline.study import pipeline_version
from workers.pipeline.types import AnalyzedImage, Frame, FramePredictor
from workers.results.gray_png import read_mask
from workers.services import WorkerServices

Mask = NDArray[np.bool_]
_PRESET_NAME_CHARACTERS: Final = 64


class ShadowHandler:
    """Runs the shadow preset on an analysis, which is the subject of the job."""

    def __init__(self, services: WorkerServices) -> None:
        self._services = services

    def handle(self, claim: Claim, now: datetime) -> SaveResult:
        if self._services.shadow is None:
            raise WorkError("no shadow preset is configured: set SONOGATE_SHADOW_PRESET_DIR")
        idle_check = _IdleCheck(self._services.database, now)
        idle_check()
        with self._services.database.read() as session:
            analysis = analyses.load_complete(session, claim.subject_id)
        predictor = _InterruptiblePredictor(self._services.shadow(), idle_check)
        info = predictor.info
        if pipeline_version(info) == analysis.pipeline_version:
            return save_nothing
        images = list(self._analyze(analysis, predictor))
        classification = classify_study([image.classification for image in images])
        if classification is None:
            return save_nothing
        shadow = ShadowAnalysis(
            analysis_id=analysis.id,
            pipeline_version=pipeline_version(info),
            preset_name=info.name[:_PRESET_NAME_CHARACTERS],
            preset_version=info.version[:_PRESET_NAME_CHARACTERS],
            classifier_digest=info.classifier_digest,
            segmenter_digest=info.segmenter_digest,
            classification=classification,
            agrees=classification.asserted_class == analysis.asserted_class,
        )

        def save(session: Session, now: datetime) -> None:
            shadow.finished_at = now
            shadow.images = images
            shadows.record(session, shadow, now)

        return save

    def on_failure(self, session: Session, job: Job, failure: JobFailure, now: datetime) -> None:
        if failure.given_up:
            shadows.record_failure(session, job.subject_id, failure.reason, now)

    def _analyze(self, analysis: Analysis, predictor: FramePredictor) -> Iterator[ShadowImage]:
        """Yield one row at a time, so that the arrays of only one image are in memory."""
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
                    lesions = [
                        finding
                        for finding in analysis.findings
                        if finding.kind is FindingKind.LESION
                        and finding.instance_id == active.instance_id
                    ]
                    yield _compare(active, lesions, image, store)


class _IdleCheck:
    """Raises Postponed when a result is being produced."""

    def __init__(self, database: Database, now: datetime) -> None:
        self._database = database
        self._now = now
        self._started = time.monotonic()

    def __call__(self) -> None:
        now = self._now + timedelta(seconds=time.monotonic() - self._started)
        with self._database.read() as session:
            if not shadows.is_idle(session, now):
                raise Postponed


class _InterruptiblePredictor:
    """The shadow preset's networks, with an idle check before each batch."""

    def __init__(self, predictor: FramePredictor, idle_check: _IdleCheck) -> None:
        self.info = predictor.info
        self._predictor = predictor
        self._idle_check = idle_check

    def predict(self, frames: Sequence[Frame], *, batch_size: int = 8) -> list[FramePrediction]:
        self._idle_check()
        return self._predictor.predict(frames, batch_size=batch_size)


def _compare(
    active: Finding, lesions: Sequence[Finding], image: AnalyzedImage, store: FileStore
) -> ShadowImage:
    """Return the shadow preset's row for an image, with the active preset's outlines compared."""
    number = active.frame_number
    frame = next((frame for frame in image.frames if frame.frame_number == number), None)
    active_mask = np.zeros(image.shape, np.bool_)
    for lesion in lesions:
        if lesion.frame_number == number and lesion.mask_file is not None:
            active_mask |= read_mask(store.path(lesion.mask_file))
    return ShadowImage(
        instance_id=active.instance_id,
        frame_number=number,
        classification=image.classification,
        lesions=len({lesion.number for lesion in image.lesions}),
        area_px=int(frame.mask.sum()) if frame else 0,
        active_lesions=len({lesion.tracking_uid for lesion in lesions}),
        active_area_px=int(active_mask.sum()),
        dice=_dice(active_mask, frame.mask) if frame else None,
        agrees=image.classification.asserted_class == active.asserted_class,
    )


def _dice(first: Mask, second: Mask) -> float | None:
    """Return the Dice coefficient of two masks; None if both are empty."""
    total = int(first.sum()) + int(second.sum())
    return 2 * int((first & second).sum()) / total if total else None
