"""A second preset beside the active one: rows, and nothing that a result could notice."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from sqlalchemy import select
from sqlalchemy.orm import selectinload

from db import dead_letters, jobs
from db.schema import (
    Analysis,
    AuditEvent,
    Base,
    Finding,
    Job,
    JobKind,
    JobStatus,
    Refusal,
    ResultObject,
    ResultSet,
    ShadowAnalysis,
    ShadowImage,
    Study,
    StudyStatus,
)
from models.types import FramePrediction, PresetCorrupt, PresetInfo
from tests.workers.hospital import Hospital
from tests.workers.painted import NORMAL_SAYS, PaintedPredictor, Picture, picture, write
from workers.pipeline.types import FramePredictor
from workers.services import LazyPredictor

LESION = picture((100, 80, 20))
RESULTS = (Study, Analysis, Finding, Refusal, ResultSet, ResultObject)
HALF_SURE = (0.3, 0.4, 0.3)


class Candidate(PaintedPredictor):
    """Sees the left half of what is painted, and says what it was told to say."""

    def __init__(self, says: tuple[float, float, float] | None = None, **info: Any) -> None:
        super().__init__()
        self.info = replace(PresetInfo("candidate", "2", "12" * 32, "34" * 32), **info)
        self.says = says

    def predict(self, frames: Sequence[Picture], *, batch_size: int = 8) -> list[FramePrediction]:
        return [self._half(said) for said in super().predict(frames, batch_size=batch_size)]

    def _half(self, said: FramePrediction) -> FramePrediction:
        mask = said.mask.copy()
        mask[:, 100:] = False
        return replace(said, mask=mask, probabilities=self.says or said.probabilities)


class Broken(Candidate):
    """Falls over when it is asked."""

    def predict(self, frames: Sequence[Picture], *, batch_size: int = 8) -> list[FramePrediction]:
        raise RuntimeError("no kernel for this")


def with_shadow(hospital: Hospital, predictor: FramePredictor) -> Hospital:
    return Hospital(replace(hospital.services, shadow=lambda: predictor), hospital.clock)


def receive_two(hospital: Hospital, tmp_path: Path) -> None:
    """A still with a lesion and a cine in which it appears."""
    hospital.receive(write(tmp_path / "a.dcm", LESION))
    cine = [picture(), LESION, LESION, LESION]
    hospital.receive(write(tmp_path / "b.dcm", cine, number=2))


def finish(hospital: Hospital) -> None:
    """Everything that is due, and what was put off meanwhile."""
    hospital.run_due()
    hospital.clock.skip(seconds=40)
    hospital.run_due()


def shadow_rows(hospital: Hospital) -> Sequence[ShadowAnalysis]:
    with hospital.database.read() as session:
        return session.scalars(
            select(ShadowAnalysis).options(selectinload(ShadowAnalysis.images))
        ).all()


def rows_of(hospital: Hospital, *tables: type[Base]) -> dict[str, list[tuple[Any, ...]]]:
    with hospital.database.read() as session:
        return {
            table.__tablename__: sorted(
                tuple(row) for row in session.execute(select(*table.__table__.c))
            )
            for table in tables
        }


def test_what_the_shadow_says_stands_in_rows_of_its_own(hospital: Hospital, tmp_path: Path) -> None:
    hospital = with_shadow(hospital, Candidate((0.1, 0.7, 0.2)))
    receive_two(hospital, tmp_path)
    finish(hospital)
    [shadow] = shadow_rows(hospital)
    assert (shadow.preset_name, shadow.preset_version) == ("candidate", "2")
    assert (shadow.classifier_digest, shadow.segmenter_digest) == ("12" * 32, "34" * 32)
    assert (shadow.label, shadow.undecided, shadow.agrees) == ("benign", False, False)
    assert (shadow.p_normal, shadow.p_benign, shadow.p_malignant) == pytest.approx((0.1, 0.7, 0.2))
    still, cine = sorted(shadow.images, key=lambda image: image.frame_number)
    assert (still.frame_number, cine.frame_number) == (1, 2)
    disc = int((LESION == 255).sum())
    left = int((LESION[:, :100] == 255).sum())
    for image in (still, cine):
        assert (image.label, image.agrees) == ("benign", False)
        assert (image.lesions, image.active_lesions) == (1, 1)
        assert (image.area_px, image.active_area_px) == (left, disc)
        assert image.dice == pytest.approx(2 * left / (left + disc))


def test_a_shadow_that_says_the_same_agrees(hospital: Hospital, tmp_path: Path) -> None:
    hospital = with_shadow(hospital, Candidate())
    receive_two(hospital, tmp_path)
    finish(hospital)
    [shadow] = shadow_rows(hospital)
    assert shadow.agrees
    assert [image.agrees for image in shadow.images] == [True, True]
    assert hospital.tags().count("worker:shadow:compared") == 1


def test_nothing_outlined_by_either_has_no_dice(hospital: Hospital, tmp_path: Path) -> None:
    hospital = with_shadow(hospital, Candidate())
    hospital.receive(write(tmp_path / "a.dcm", picture()))
    finish(hospital)
    [image] = shadow_rows(hospital)[0].images
    assert (image.lesions, image.area_px, image.dice) == (0, 0, None)


def test_a_shadow_that_abstains_differs_from_a_class(hospital: Hospital, tmp_path: Path) -> None:
    hospital = with_shadow(hospital, Candidate(HALF_SURE, confidence_threshold=0.5))
    hospital.receive(write(tmp_path / "a.dcm", picture((100, 80, 20), paint=245)))
    finish(hospital)
    [shadow] = shadow_rows(hospital)
    assert (shadow.label, shadow.undecided, shadow.agrees) == ("benign", True, False)


@pytest.mark.parametrize("says", [None, NORMAL_SAYS, HALF_SURE])
def test_no_result_knows_whether_there_is_a_shadow(
    hospital: Hospital, tmp_path: Path, says: tuple[float, float, float] | None
) -> None:
    receive_two(hospital, tmp_path)
    hospital.run_due()
    without = rows_of(hospital, *RESULTS)
    objects = [
        hospital.services.store.path(row[7]).read_bytes() for row in without["result_object"]
    ]
    with_one = with_shadow(hospital, Candidate(says))
    with hospital.database.write() as session:
        analysis_id = session.scalars(select(Analysis.id)).one()
        jobs.enqueue(session, JobKind.SHADOW, key="k", subject_id=analysis_id, now=hospital.clock())
    finish(with_one)
    assert len(shadow_rows(hospital)) == 1
    assert rows_of(hospital, *RESULTS) == without
    stored = [hospital.services.store.path(row[7]).read_bytes() for row in without["result_object"]]
    assert stored == objects


@pytest.mark.parametrize("kind", ["falls over", "is corrupt"])
def test_a_shadow_that_fails_is_given_up_and_the_results_are_delivered(
    hospital: Hospital, tmp_path: Path, kind: str
) -> None:
    def corrupt(_: Path | None) -> FramePredictor:
        raise PresetCorrupt("network.weights.h5", "expected SHA-256 ab…, found cd…")

    shadow = LazyPredictor(tmp_path, corrupt if kind == "is corrupt" else lambda _: Broken())
    hospital = Hospital(replace(hospital.services, shadow=shadow), hospital.clock)
    receive_two(hospital, tmp_path)
    for _ in range(4):
        finish(hospital)
    assert hospital.job(JobKind.SHADOW).status is JobStatus.DEAD_LETTER
    assert hospital.job(JobKind.PUBLISH).status is JobStatus.DONE
    assert shadow_rows(hospital) == []
    with hospital.database.read() as session:
        study = session.scalars(select(Study)).one()
        letters = dead_letters.list_dead_letters(session)
        told = select(AuditEvent.study_id).where(AuditEvent.tag == "worker:shadow:failed")
        assert session.scalars(told).all() == [study.id]
    assert (study.status, study.status_reason) == (StudyStatus.ANALYZED, "")
    assert [(letter.kind, letter.study_id) for letter in letters] == [(JobKind.SHADOW, study.id)]


def test_a_shadow_given_up_starts_again_by_hand(hospital: Hospital, tmp_path: Path) -> None:
    receive_two(hospital, tmp_path)
    broken = with_shadow(hospital, Broken())
    for _ in range(4):
        finish(broken)
    job = hospital.job(JobKind.SHADOW)
    with hospital.database.write() as session:
        assert dead_letters.retry(session, job.id, actor="admin", now=hospital.clock())
    finish(with_shadow(hospital, Candidate()))
    assert len(shadow_rows(hospital)) == 1


def test_running_it_twice_leaves_one(hospital: Hospital, tmp_path: Path) -> None:
    hospital = with_shadow(hospital, Candidate())
    receive_two(hospital, tmp_path)
    finish(hospital)
    with hospital.database.write() as session:
        session.scalars(
            select(Job).where(Job.kind == JobKind.SHADOW)
        ).one().status = JobStatus.QUEUED
    finish(hospital)
    assert hospital.job(JobKind.SHADOW).status is JobStatus.DONE
    assert len(shadow_rows(hospital)) == 1
    assert len(rows_of(hospital, ShadowImage)["shadow_image"]) == 2


def test_it_does_not_begin_while_a_result_is_waited_for(hospital: Hospital, tmp_path: Path) -> None:
    candidate = Candidate()
    hospital = with_shadow(hospital, candidate)
    receive_two(hospital, tmp_path)
    hospital.runner.run(hospital.job(JobKind.ANALYZE).id, JobKind.ANALYZE)  # PUBLISH is due
    hospital.runner.run(hospital.job(JobKind.SHADOW).id, JobKind.SHADOW)
    job = hospital.job(JobKind.SHADOW)
    assert (job.status, job.attempts, candidate.batches) == (JobStatus.QUEUED, 0, [])
    assert job.due_at == hospital.clock() + jobs.POSTPONE_WHILE_BUSY
    finish(hospital)
    assert len(shadow_rows(hospital)) == 1


def test_it_leaves_off_when_a_study_comes(hospital: Hospital, tmp_path: Path) -> None:
    class Overtaken(Candidate):
        """A study comes after its first batch."""

        def predict(
            self, frames: Sequence[Picture], *, batch_size: int = 8
        ) -> list[FramePrediction]:
            if not self.batches:
                with hospital.database.write() as session:
                    jobs.enqueue(
                        session,
                        JobKind.ANALYZE,
                        key="k",
                        subject_id=uuid4(),
                        now=hospital.clock() - timedelta(seconds=1),
                    )
            return super().predict(frames, batch_size=batch_size)

    candidate = Overtaken()
    hospital = with_shadow(hospital, candidate)
    receive_two(hospital, tmp_path)
    hospital.runner.run(hospital.job(JobKind.ANALYZE).id, JobKind.ANALYZE)
    hospital.runner.run(hospital.job(JobKind.PUBLISH).id, JobKind.PUBLISH)
    hospital.runner.run(hospital.job(JobKind.SHADOW).id, JobKind.SHADOW)
    assert candidate.batches == [1]
    assert hospital.job(JobKind.SHADOW).status is JobStatus.QUEUED
    assert shadow_rows(hospital) == []


def test_a_refused_study_has_no_shadow(hospital: Hospital, tmp_path: Path) -> None:
    hospital = with_shadow(hospital, Candidate())
    hospital.receive(write(tmp_path / "a.dcm", np.zeros((64, 64), np.uint8), spacing_mm=None))
    finish(hospital)
    assert JobKind.SHADOW not in {row[1] for row in rows_of(hospital, Job)["job"]}


def test_without_the_setting_nothing_is_queued(hospital: Hospital, tmp_path: Path) -> None:
    receive_two(hospital, tmp_path)
    finish(hospital)
    assert JobKind.SHADOW not in {row[1] for row in rows_of(hospital, Job)["job"]}


def test_the_active_preset_is_not_compared_with_itself(hospital: Hospital, tmp_path: Path) -> None:
    hospital = with_shadow(hospital, PaintedPredictor())
    receive_two(hospital, tmp_path)
    finish(hospital)
    assert hospital.job(JobKind.SHADOW).status is JobStatus.DONE
    assert shadow_rows(hospital) == []
