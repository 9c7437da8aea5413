"""Rows of studies, analyses and users without files."""

from datetime import UTC, datetime
from uuid import uuid4

from sqlalchemy.orm import Session

from db.schema import (
    Analysis,
    AnalysisStatus,
    Instance,
    Role,
    Series,
    Study,
    StudyStatus,
    User,
)
from dicom.terms.classification import Probabilities
from workers.pipeline.aggregation import classify

NOW = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)


def add_study(session: Session, name: str = "Berg^Anna", **columns: object) -> Study:
    study_id = uuid4()
    values: dict[str, object] = {
        "patient_name": name,
        "patient_id": "P1",
        "study_date": "20261120",
        "source_ae": "PROBE",
        "status": StudyStatus.ANALYZED,
        "received_at": NOW,
        "last_instance_at": NOW,
        "revision": 1,
        **columns,
    }
    study = Study(id=study_id, study_instance_uid=f"2.25.{study_id.int}", **values)
    session.add(study)
    session.flush()
    return study


def add_instance(session: Session, study: Study, sop_instance_uid: str = "2.25.8") -> Instance:
    """Add a still of 20 x 10 pixels in a series of its own."""
    series = Series(study_id=study.id, series_instance_uid="2.25.7", modality="US", description="")
    instance = Instance(
        series=series, sop_instance_uid=sop_instance_uid, sop_class_uid="1.2", transfer_syntax_uid="1.2",
        number_of_frames=1, rows=10, columns=20, laterality="", file="instances/none.dcm",
        sha256="0" * 64, size_bytes=1, source_ae="PROBE", source_address="127.0.0.1",
        received_at=NOW,
    )  # fmt: skip
    session.add(instance)
    session.flush()
    return instance


def add_analysis(
    session: Session,
    study: Study,
    probabilities: Probabilities | None = (0.1, 0.2, 0.7),
    *,
    revision: int = 1,
) -> Analysis:
    analysis = Analysis(
        study_id=study.id,
        revision=revision,
        study_digest=f"{revision:064}",
        pipeline_version="test 1",
        classifier_digest="0" * 64,
        segmenter_digest="0" * 64,
        status=AnalysisStatus.DONE if probabilities else AnalysisStatus.REFUSED,
        classification=classify(probabilities) if probabilities else None,
        started_at=NOW,
        finished_at=NOW,
    )
    session.add(analysis)
    session.flush()
    return analysis


def add_user(session: Session, username: str, role: Role = Role.RADIOLOGIST) -> User:
    """Add a user without a password, because hashing is slow."""
    user = User(
        username=username,
        display_name=username,
        dicom_name=f"{username}^Dr",
        organization="Clinic",
        role=role,
        password_hash="none",
        active=True,
        created_at=NOW,
    )
    session.add(user)
    session.flush()
    return user
