"""Job kind ANALYZE: analyze the instances of a study and store findings and refusals."""

from collections.abc import Iterator
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
from dicom.results.model import RefusalReason
from dicom.terms.classification import Classification
from models.types import PresetInfo
from workers.jobs.handler import JobFailure, SaveResult, save_nothing
from workers.pipeline.aggregation import classify_study
from workers.pipeline.identity import LesionIdentity, identify_lesions
from workers.pipeline.image import analyze_image
from workers.pipeline.image_file import lesion_uid
from workers.pipeline.study import pipeline_version
from workers.pipeline.types import (
    AnalyzedImage,
    FrameAnalysis,
    ImageAnalysis,
    RefusedImage,
)
from workers.results.earlier_lesions import EarlierLesions, collect_earlier_lesions
from workers.results.gray_png import encode_gray, encode_mask
from workers.services import WorkerServices


class AnalyzeHandler:
    """Analyzes the current revision of a study. The subject of the job is the study."""

    def __init__(self, services: WorkerServices) -> None:
        self._services = services

    def handle(self, claim: Claim, now: datetime) -> SaveResult:
        predictor = self._services.predictor()
        study_id = claim.subject_id
        with self._services.database.write() as session:
            analysis = _begin(session, claim, predictor.info, now)
            if analysis is None:
                return save_nothing
            instances = analyses.list_instances(session, study_id)
            rows = _AnalysisRows(
                analysis.id,
                analysis.study.study_instance_uid,
                self._services.store,
                collect_earlier_lesions(
                    analyses.list_known_lesions(session, study_id),
                    outlines.list_study_outlines(session, study_id),
                ),
                has_shadow=self._services.shadow is not None,
            )
        if analysis.status is not AnalysisStatus.RUNNING:  # the same images were analyzed before
            return lambda session, now: analyses.queue_publication(session, rows.analysis_id, now)
        store, settings = self._services.store, self._services.settings
        for instance in instances:
            store.check_free_space()
            image = analyze_image(
                store.path(instance.file),
                predictor,
                cine_frames=settings.max_cine_frames,
                batch_size=settings.batch_size,
            )
            rows.add(instance, image)
        return rows.save

    def on_failure(self, session: Session, job: Job, failure: JobFailure, now: datetime) -> None:
        study = session.get_one(Study, job.subject_id)
        if failure.given_up and job.key == intake.analysis_job_key(study):
            analyses.fail_study(session, study.id, failure.reason, now)


def _begin(session: Session, claim: Claim, info: PresetInfo, now: datetime) -> Analysis | None:
    """Return the analysis of the current revision. None if instances arrived after the first
    attempt of this job: a later job analyzes them.
    """
    study = session.get_one(Study, claim.subject_id, with_for_update=True)
    if session.get_one(Job, claim.job_id).key != intake.analysis_job_key(study):
        return None
    pipeline = Pipeline(
        pipeline_version(info),
        info.classifier_digest,
        info.segmenter_digest,
        info.confidence_threshold,
    )
    return analyses.begin(session, study, pipeline, now)


@dataclass
class _AnalysisRows:
    """The findings and refusals of an analysis.

    Heat maps and masks are written to the store image by image, so that the arrays of only one
    image are in memory.
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
        """Add the analysis of one instance."""
        if isinstance(image, AnalyzedImage):
            self.classifications.append(image.classification)
            self.findings.append(self._image_finding(instance, image))
            self.findings.extend(self._lesion_findings(instance, image))
        reasons: list[tuple[int | None, RefusalReason]] = []
        if isinstance(image, RefusedImage):
            reasons.append((None, image.reason))
        reasons += [(refused.frame_number, refused.reason) for refused in image.refused_frames]
        self.refusals += [
            Refusal(
                analysis_id=self.analysis_id,
                instance_id=instance.id,
                frame_number=frame_number,
                code=reason.code,
                text=reason.text,
            )
            for frame_number, reason in reasons
        ]

    def save(self, session: Session, now: datetime) -> None:
        """Finish the analysis and queue the jobs that follow it."""
        classification = classify_study(self.classifications)
        analyses.finish(
            session, self.analysis_id, classification, self.findings, self.refusals, now
        )
        if self.has_shadow and classification:
            shadows.enqueue(session, self.analysis_id, now)

    def _image_finding(self, instance: Instance, image: AnalyzedImage) -> Finding:
        return self._finding(
            instance,
            image,
            kind=FindingKind.IMAGE,
            number=len(self.classifications),
            tracking_uid=image.tracking_uid,
            frame_number=image.representative.frame_number,
            classification=image.classification,
            frames=[self._write_maps(instance, frame) for frame in image.frames],
        )

    def _write_maps(self, instance: Instance, frame: FrameAnalysis) -> ClassifiedFrame:
        name = f"{instance.id}/frame-{frame.frame_number:05d}"
        heatmap_file = self._write(f"{name}-heatmap.png", encode_gray(frame.heatmap))
        probability_file = None
        if frame.lesion_probability is not None:
            probability = encode_gray(frame.lesion_probability)
            probability_file = self._write(f"{name}-lesion-probability.png", probability)
        return ClassifiedFrame(
            frame.frame_number,
            frame.classification.probabilities,
            heatmap_file,
            probability_file,
        )

    def _lesion_findings(self, instance: Instance, image: AnalyzedImage) -> Iterator[Finding]:
        identities = self._identify(instance, image)
        for lesion in image.lesions:
            outline, identity = lesion.outline, identities[lesion.number]
            mask_name = f"{instance.id}/frame-{lesion.frame_number:05d}-lesion-{lesion.number}.png"
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
                mask_file=self._write(mask_name, encode_mask(outline.mask)),
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

    def _finding(self, instance: Instance, image: AnalyzedImage, **columns: object) -> Finding:
        return Finding(
            analysis_id=self.analysis_id,
            instance_id=instance.id,
            spacing_mm=image.region.spacing_mm,
            **columns,
        )

    def _write(self, name: str, content: bytes) -> str:
        return self.store.write(result_file(self.analysis_id, name), content).file
