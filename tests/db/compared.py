"""Analyses with shadow analyses."""

from dataclasses import replace
from uuid import uuid4

from sqlalchemy.orm import Session

from db.schema import (
    Analysis,
    Finding,
    FindingKind,
    Instance,
    ShadowAnalysis,
    ShadowImage,
)
from dicom.terms.classification import Probabilities
from tests.db.rows import NOW, add_analysis, add_instance, add_study
from workers.pipeline.aggregation import classify

BENIGN: Probabilities = (0.1, 0.8, 0.1)
MALIGNANT: Probabilities = (0.1, 0.2, 0.7)
UNSURE: Probabilities = (0.3, 0.36, 0.34)


def shadow_of(
    analysis: Analysis,
    instance: Instance,
    probabilities: Probabilities,
    *,
    undecided: bool = False,
    dice: float | None = 0.5,
    pipeline: str = "test 1+candidate",
) -> ShadowAnalysis:
    classification = replace(classify(probabilities), undecided=undecided)
    agrees = classification.asserted_class == analysis.asserted_class
    image = ShadowImage(
        instance_id=instance.id, frame_number=1, lesions=1, area_px=30, active_lesions=1,
        active_area_px=40, dice=dice, classification=classification, agrees=agrees,
    )  # fmt: skip
    return ShadowAnalysis(
        analysis_id=analysis.id, pipeline_version=pipeline, preset_name="candidate",
        preset_version="2", classifier_digest="1" * 64, segmenter_digest="2" * 64,
        finished_at=NOW, images=[image], classification=classification, agrees=agrees,
    )  # fmt: skip


def add_read_image(
    session: Session, probabilities: Probabilities = BENIGN
) -> tuple[Analysis, Instance]:
    """A study with one image, analyzed."""
    study = add_study(session)
    instance = add_instance(session, study, sop_instance_uid=f"2.25.{uuid4().int}")
    analysis = add_analysis(session, study, probabilities)
    session.add(
        Finding(
            analysis_id=analysis.id, instance_id=instance.id, kind=FindingKind.IMAGE, number=1,
            tracking_uid="2.25.1", frame_number=1, classification=classify(probabilities),
        )
    )  # fmt: skip
    return analysis, instance
