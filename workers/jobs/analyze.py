"""ANALYZE: the present state of a study through the networks, and what they found into rows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from uuid import UUID

from sqlalchemy.orm import Session

from db import analyses, intake, outlines, shadows
from db.analyses import Pipeline
from db.files import FileStore, result_file
from db.frames import ClassifiedFrame
from db.jobs import Claim
from db.schema import (
    Analysis,
    AnalysisStatus,
    Finding,
    FindingKind,
    Instance,
    Job,
    Refusal,
    Study,
)
from dicom.terms.classification import Classification
from models.types import PresetInfo
from workers.jobs.handler import JobFailure, SaveResult
from workers.pipeline.aggregation import classify_study
from workers.pipeline.identity import LesionIdentity, identify_lesions
from workers.pipeline.image import analyze_image
from workers.pipeline.image_file import lesion_uid
from workers.pipeline.study import pipeline_version
from workers.pipeline.types import (
    AnalyzedImage,
    FrameAnalysis,
    FrameLesion,
    FramePredictor,
    ImageAnalysis,
    RefusedImage,
)
from workers.results.earlier_lesions import EarlierLesions, collect_earlier_lesions
from workers.results.gray_png import encode_gray, encode_mask
from workers.services import WorkerServices


class Analyze:
    """Subject: a study."""

    def __init__(self, services: WorkerServices) -> None:
        self._services = services

    def handle(self, claim: Claim, now: datetime) -> SaveResult:
        predictor = self._services.predictor()
        with self._services.database.write() as session:
            analysis = _begin(session, claim, _pipeline(predictor.info), now)
            if analysis is None:
                return _nothing
            study_instance_uid = analysis.study.study_instance_uid
            instances = analyses.list_instances(session, claim.subject_id)
            earlier = _load_earlier_lesions(session, claim.subject_id)
        if analysis.status is not AnalysisStatus.RUNNING:
            return _settle(analysis.id)
        return self._analyze(analysis, study_instance_uid, instances, earlier, predictor)

    def _analyze(
        self,
        analysis: Analysis,
        study_instance_uid: str,
        instances: Sequence[Instance],
        earlier: EarlierLesions,
        predictor: FramePredictor,
    ) -> SaveResult:
        store, settings = self._services.store, self._services.settings
        rows = _Rows(
            analysis.id,
            study_instance_uid,
            store,
            earlier,
            has_shadow=self._services.shadow is not None,
        )
        for instance in instances:
            store.check_free_space()
            image = analyze_image(
                store.path(instance.file),
                predictor,
                cine_frames=settings.max_cine_frames,
                batch_size=settings.batch_size,
            )
            rows.add(instance, image)
        return rows.write

    def on_failure(self, session: Session, job: Job, failure: JobFailure, now: datetime) -> None:
        study = session.get_one(Study, job.subject_id)
        if failure.given_up and job.key == intake.analysis_job_key(study):
            analyses.fail_study(session, study.id, failure.reason, now)


def _begin(session: Session, claim: Claim, pipeline: Pipeline, now: datetime) -> Analysis | None:
    """None: images came after this job was first tried, and their own job is on its way."""
    study = session.get_one(Study, claim.subject_id, with_for_update=True)
    if session.get_one(Job, claim.job_id).key != intake.analysis_job_key(study):
        return None
    return analyses.begin(session, study, pipeline, now)


def _load_earlier_lesions(session: Session, study_id: UUID) -> EarlierLesions:
    findings = analyses.list_known_lesions(session, study_id)
    return collect_earlier_lesions(findings, outlines.list_study_outlines(session, study_id))


def _nothing(_session: Session, _now: datetime) -> None:
    """Nothing to write."""


def _pipeline(info: PresetInfo) -> Pipeline:
    return Pipeline(
        pipeline_version(info),
        info.classifier_digest,
        info.segmenter_digest,
        info.confidence_threshold,
    )


def _settle(analysis_id: UUID) -> SaveResult:
    """This very state was analyzed before: nothing is computed again."""

    def write(session: Session, now: datetime) -> None:
        analyses.queue_publication(session, analysis_id, now)

    return write


@dataclass
class _Rows:
    """Findings and refusals as they grow, image by image; pictures go to the store at once, so
    that the arrays of one image only are in memory.
    """

    analysis_id: UUID
    study_instance_uid: str
    store: FileStore
    earlier: EarlierLesions
    has_shadow: bool
    findings: list[Finding] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    classifications: list[Classification] = field(default_factory=list)
    """Of all analyzed images."""
    identities: list[LesionIdentity] = field(default_factory=list)
    """Of all lesions."""

    def add(self, instance: Instance, image: ImageAnalysis) -> None:
        if isinstance(image, AnalyzedImage):
            self.classifications.append(image.classification)
            self.findings.append(self._image(instance, image))
            self.findings.extend(self._lesions(instance, image))
        self.refusals.extend(self._refusals(instance, image))

    def write(self, session: Session, now: datetime) -> None:
        classification = classify_study(self.classifications)
        analyses.finish(
            session, self.analysis_id, classification, self.findings, self.refusals, now
        )
        if self.has_shadow and classification:
            shadows.enqueue(session, self.analysis_id, now)

    def _image(self, instance: Instance, image: AnalyzedImage) -> Finding:
        return self._finding(
            instance,
            image,
            kind=FindingKind.IMAGE,
            number=len(self.classifications),
            tracking_uid=image.tracking_uid,
            frame_number=image.representative.frame_number,
            classification=image.classification,
            frames=[self._frame(instance, frame) for frame in image.frames],
        )

    def _frame(self, instance: Instance, frame: FrameAnalysis) -> ClassifiedFrame:
        name = f"{instance.id}/frame-{frame.frame_number:05d}"
        heatmap_file = self._keep(f"{name}-heatmap.png", encode_gray(frame.heatmap))
        probability_file = None
        if frame.lesion_probability is not None:
            probability = encode_gray(frame.lesion_probability)
            probability_file = self._keep(f"{name}-lesion-probability.png", probability)
        return ClassifiedFrame(
            frame.frame_number,
            frame.classification.probabilities,
            heatmap_file,
            probability_file,
        )

    def _lesions(self, instance: Instance, image: AnalyzedImage) -> Iterator[Finding]:
        identities = self._identify(instance, image)
        for lesion in image.lesions:
            outline, identity = lesion.outline, identities[lesion.number]
            yield self._finding(
                instance,
                image,
                kind=FindingKind.LESION,
                number=identity.number,
                tracking_uid=identity.tracking_uid,
                frame_number=lesion.frame_number,
                classification=lesion.classification,
                bbox=list(outline.bbox),
                contour=[list(point) for point in outline.contour],
                measurements=outline.measurements,
                mask_file=self._mask(instance, lesion),
            )

    def _identify(self, instance: Instance, image: AnalyzedImage) -> dict[int, LesionIdentity]:
        """Return the identity of each lesion by its number in the image."""
        highest = max([self.earlier.highest_number, *(known.number for known in self.identities)])
        identities = identify_lesions(
            image.masks_by_lesion,
            self.earlier.on_instance(instance.id),
            highest,
            self.earlier.tracking_uids,
            partial(lesion_uid, self.study_instance_uid, instance.sop_instance_uid),
        )
        self.identities.extend(identities.values())
        return identities

    def _mask(self, instance: Instance, lesion: FrameLesion) -> str:
        name = f"{instance.id}/frame-{lesion.frame_number:05d}-lesion-{lesion.number}.png"
        return self._keep(name, encode_mask(lesion.outline.mask))

    def _finding(self, instance: Instance, image: AnalyzedImage, **columns: object) -> Finding:
        return Finding(
            analysis_id=self.analysis_id,
            instance_id=instance.id,
            spacing_mm=image.region.spacing_mm,
            **columns,
        )

    def _refusals(self, instance: Instance, image: ImageAnalysis) -> Iterator[Refusal]:
        whole = [(None, image.reason)] if isinstance(image, RefusedImage) else []
        frames = [(refused.frame_number, refused.reason) for refused in image.refused_frames]
        for frame_number, reason in [*whole, *frames]:
            yield Refusal(
                analysis_id=self.analysis_id,
                instance_id=instance.id,
                frame_number=frame_number,
                code=reason.code,
                text=reason.text,
            )

    def _keep(self, name: str, content: bytes) -> str:
        return self.store.write(result_file(self.analysis_id, name), content).file
