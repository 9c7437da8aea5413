"""Analyses with shadow analyses."""

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
from dicom.terms.classification import CLASSES
from tests.db.rows import NOW, add_analysis, add_instance, add_study

Said = tuple[float, float, float]
BENIGN: Said = (0.1, 0.8, 0.1)
MALIGNANT: Said = (0.1, 0.2, 0.7)
UNSURE: Said = (0.3, 0.36, 0.34)


def label_of(said: Said) -> str:
    return CLASSES[said.index(max(said))]


def shadow_of(
    analysis: Analysis,
    instance: Instance,
    said: Said,
    *,
    undecided: bool = False,
    dice: float | None = 0.5,
    pipeline: str = "test 1+candidate",
) -> ShadowAnalysis:
    label = label_of(said)
    agrees = (None if undecided else label) == analysis.asserted_class
    common = {
        "label": label, "undecided": undecided, "agrees": agrees,
        "p_normal": said[0], "p_benign": said[1], "p_malignant": said[2],
    }  # fmt: skip
    image = ShadowImage(
        instance_id=instance.id, frame_number=1, lesions=1, area_px=30, active_lesions=1,
        active_area_px=40, dice=dice, **common,
    )  # fmt: skip
    return ShadowAnalysis(
        analysis_id=analysis.id, pipeline_version=pipeline, preset_name="candidate",
        preset_version="2", classifier_digest="1" * 64, segmenter_digest="2" * 64,
        finished_at=NOW, images=[image], **common,
    )  # fmt: skip


def add_read_image(session: Session, said: Said = BENIGN) -> tuple[Analysis, Instance]:
    """A study with one image, analyzed."""
    study = add_study(session)
    instance = add_instance(session, study, sop_instance_uid=f"2.25.{uuid4().int}")
    analysis = add_analysis(session, study, said)
    session.add(
        Finding(
            analysis_id=analysis.id, instance_id=instance.id, kind=FindingKind.IMAGE, number=1,
            tracking_uid="2.25.1", frame_number=1, label=label_of(said),
            p_normal=said[0], p_benign=said[1], p_malignant=said[2],
        )
    )  # fmt: skip
    return analysis, instance
