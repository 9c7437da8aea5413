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
from tests.workers.fake_images import (
    NORMAL_PROBABILITIES,
    FakePredictor,
    Pixels,
    draw_frame,
    write_image,
)
from tests.workers.gateway import Gateway
from workers.pipeline.types import FramePredictor
from workers.services import LazyPredictor

LESION = draw_frame((100, 80, 20))
RESULTS = (Study, Analysis, Finding, Refusal, ResultSet, ResultObject)
HALF_SURE = (0.3, 0.4, 0.3)


class Candidate(FakePredictor):
    """Sees the left half of what is painted, and says what it was told to say."""

    def __init__(self, says: tuple[float, float, float] | None = None, **info: Any) -> None:
        super().__init__()
        self.info = replace(PresetInfo("candidate", "2", "12" * 32, "34" * 32), **info)
        self.says = says

    def predict(self, frames: Sequence[Pixels], *, batch_size: int = 8) -> list[FramePrediction]:
        return [self._half(said) for said in super().predict(frames, batch_size=batch_size)]

    def _half(self, said: FramePrediction) -> FramePrediction:
        mask = said.mask.copy()
        mask[:, 100:] = False
        return replace(said, mask=mask, probabilities=self.says or said.probabilities)


class Broken(Candidate):
    """Falls over when it is asked."""

    def predict(self, frames: Sequence[Pixels], *, batch_size: int = 8) -> list[FramePrediction]:
        raise RuntimeError("no kernel for this")


def with_shadow(gateway: Gateway, predictor: FramePredictor) -> Gateway:
    return Gateway(replace(gateway.services, shadow=lambda: predictor), gateway.clock)


def receive_two(gateway: Gateway, tmp_path: Path) -> None:
    """A still with a lesion and a cine in which it appears."""
    gateway.receive(write_image(tmp_path / "a.dcm", LESION))
    cine = [draw_frame(), LESION, LESION, LESION]
    gateway.receive(write_image(tmp_path / "b.dcm", cine, number=2))


def finish(gateway: Gateway) -> None:
    """Everything that is due, and what was put off meanwhile."""
    gateway.run_due()
    gateway.clock.skip(seconds=40)
    gateway.run_due()


def shadow_rows(gateway: Gateway) -> Sequence[ShadowAnalysis]:
    with gateway.database.read() as session:
        return session.scalars(
            select(ShadowAnalysis).options(selectinload(ShadowAnalysis.images))
        ).all()


def rows_of(gateway: Gateway, *tables: type[Base]) -> dict[str, list[tuple[Any, ...]]]:
    with gateway.database.read() as session:
        return {
            table.__tablename__: sorted(
                tuple(row) for row in session.execute(select(*table.__table__.c))
            )
            for table in tables
        }


def test_the_shadow_analysis_is_stored_in_its_own_rows(gateway: Gateway, tmp_path: Path) -> None:
    gateway = with_shadow(gateway, Candidate((0.1, 0.7, 0.2)))
    receive_two(gateway, tmp_path)
    finish(gateway)
    [shadow] = shadow_rows(gateway)
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


def test_a_shadow_analysis_with_the_same_class_agrees(gateway: Gateway, tmp_path: Path) -> None:
    gateway = with_shadow(gateway, Candidate())
    receive_two(gateway, tmp_path)
    finish(gateway)
    [shadow] = shadow_rows(gateway)
    assert shadow.agrees
    assert [image.agrees for image in shadow.images] == [True, True]
    assert gateway.tags().count("worker:shadow:compared") == 1


def test_there_is_no_dice_coefficient_without_outlines(gateway: Gateway, tmp_path: Path) -> None:
    gateway = with_shadow(gateway, Candidate())
    gateway.receive(write_image(tmp_path / "a.dcm", draw_frame()))
    finish(gateway)
    [image] = shadow_rows(gateway)[0].images
    assert (image.lesions, image.area_px, image.dice) == (0, 0, None)


def test_an_undecided_shadow_analysis_disagrees_with_a_class(
    gateway: Gateway, tmp_path: Path
) -> None:
    gateway = with_shadow(gateway, Candidate(HALF_SURE, confidence_threshold=0.5))
    gateway.receive(write_image(tmp_path / "a.dcm", draw_frame((100, 80, 20), paint=245)))
    finish(gateway)
    [shadow] = shadow_rows(gateway)
    assert (shadow.label, shadow.undecided, shadow.agrees) == ("benign", True, False)


@pytest.mark.parametrize("says", [None, NORMAL_PROBABILITIES, HALF_SURE])
def test_results_do_not_depend_on_the_shadow_preset(
    gateway: Gateway, tmp_path: Path, says: tuple[float, float, float] | None
) -> None:
    receive_two(gateway, tmp_path)
    gateway.run_due()
    without = rows_of(gateway, *RESULTS)
    objects = [gateway.services.store.path(row[7]).read_bytes() for row in without["result_object"]]
    with_one = with_shadow(gateway, Candidate(says))
    with gateway.database.write() as session:
        analysis_id = session.scalars(select(Analysis.id)).one()
        jobs.enqueue(session, JobKind.SHADOW, key="k", subject_id=analysis_id, now=gateway.clock())
    finish(with_one)
    assert len(shadow_rows(gateway)) == 1
    assert rows_of(gateway, *RESULTS) == without
    stored = [gateway.services.store.path(row[7]).read_bytes() for row in without["result_object"]]
    assert stored == objects


@pytest.mark.parametrize("kind", ["falls over", "is corrupt"])
def test_a_failing_shadow_analysis_does_not_affect_the_results(
    gateway: Gateway, tmp_path: Path, kind: str
) -> None:
    def corrupt(_: Path | None) -> FramePredictor:
        raise PresetCorrupt("network.weights.h5", "expected SHA-256 ab…, found cd…")

    shadow = LazyPredictor(tmp_path, corrupt if kind == "is corrupt" else lambda _: Broken())
    gateway = Gateway(replace(gateway.services, shadow=shadow), gateway.clock)
    receive_two(gateway, tmp_path)
    for _ in range(4):
        finish(gateway)
    assert gateway.job(JobKind.SHADOW).status is JobStatus.DEAD_LETTER
    assert gateway.job(JobKind.PUBLISH).status is JobStatus.DONE
    assert shadow_rows(gateway) == []
    with gateway.database.read() as session:
        study = session.scalars(select(Study)).one()
        letters = dead_letters.list_dead_letters(session)
        told = select(AuditEvent.study_id).where(AuditEvent.tag == "worker:shadow:failed")
        assert session.scalars(told).all() == [study.id]
    assert (study.status, study.status_reason) == (StudyStatus.ANALYZED, "")
    assert [(letter.kind, letter.study_id) for letter in letters] == [(JobKind.SHADOW, study.id)]


def test_a_shadow_analysis_that_was_given_up_can_be_retried(
    gateway: Gateway, tmp_path: Path
) -> None:
    receive_two(gateway, tmp_path)
    broken = with_shadow(gateway, Broken())
    for _ in range(4):
        finish(broken)
    job = gateway.job(JobKind.SHADOW)
    with gateway.database.write() as session:
        assert dead_letters.retry(session, job.id, actor="admin", now=gateway.clock())
    finish(with_shadow(gateway, Candidate()))
    assert len(shadow_rows(gateway)) == 1


def test_a_second_run_replaces_the_shadow_analysis(gateway: Gateway, tmp_path: Path) -> None:
    gateway = with_shadow(gateway, Candidate())
    receive_two(gateway, tmp_path)
    finish(gateway)
    with gateway.database.write() as session:
        session.scalars(
            select(Job).where(Job.kind == JobKind.SHADOW)
        ).one().status = JobStatus.QUEUED
    finish(gateway)
    assert gateway.job(JobKind.SHADOW).status is JobStatus.DONE
    assert len(shadow_rows(gateway)) == 1
    assert len(rows_of(gateway, ShadowImage)["shadow_image"]) == 2


def test_it_is_postponed_while_a_result_is_being_produced(gateway: Gateway, tmp_path: Path) -> None:
    candidate = Candidate()
    gateway = with_shadow(gateway, candidate)
    receive_two(gateway, tmp_path)
    gateway.runner.run(gateway.job(JobKind.ANALYZE).id, JobKind.ANALYZE)  # PUBLISH is due
    gateway.runner.run(gateway.job(JobKind.SHADOW).id, JobKind.SHADOW)
    job = gateway.job(JobKind.SHADOW)
    assert (job.status, job.attempts, candidate.batches) == (JobStatus.QUEUED, 0, [])
    assert job.due_at == gateway.clock() + jobs.POSTPONE_WHILE_BUSY
    finish(gateway)
    assert len(shadow_rows(gateway)) == 1


def test_it_is_interrupted_when_a_study_arrives(gateway: Gateway, tmp_path: Path) -> None:
    class Overtaken(Candidate):
        """A study comes after its first batch."""

        def predict(
            self, frames: Sequence[Pixels], *, batch_size: int = 8
        ) -> list[FramePrediction]:
            if not self.batches:
                with gateway.database.write() as session:
                    jobs.enqueue(
                        session,
                        JobKind.ANALYZE,
                        key="k",
                        subject_id=uuid4(),
                        now=gateway.clock() - timedelta(seconds=1),
                    )
            return super().predict(frames, batch_size=batch_size)

    candidate = Overtaken()
    gateway = with_shadow(gateway, candidate)
    receive_two(gateway, tmp_path)
    gateway.runner.run(gateway.job(JobKind.ANALYZE).id, JobKind.ANALYZE)
    gateway.runner.run(gateway.job(JobKind.PUBLISH).id, JobKind.PUBLISH)
    gateway.runner.run(gateway.job(JobKind.SHADOW).id, JobKind.SHADOW)
    assert candidate.batches == [1]
    assert gateway.job(JobKind.SHADOW).status is JobStatus.QUEUED
    assert shadow_rows(gateway) == []


def test_a_refused_study_has_no_shadow_analysis(gateway: Gateway, tmp_path: Path) -> None:
    gateway = with_shadow(gateway, Candidate())
    gateway.receive(write_image(tmp_path / "a.dcm", np.zeros((64, 64), np.uint8), spacing_mm=None))
    finish(gateway)
    assert JobKind.SHADOW not in {row[1] for row in rows_of(gateway, Job)["job"]}


def test_without_a_shadow_preset_nothing_is_queued(gateway: Gateway, tmp_path: Path) -> None:
    receive_two(gateway, tmp_path)
    finish(gateway)
    assert JobKind.SHADOW not in {row[1] for row in rows_of(gateway, Job)["job"]}


def test_the_active_preset_is_not_compared_with_itself(gateway: Gateway, tmp_path: Path) -> None:
    gateway = with_shadow(gateway, FakePredictor())
    receive_two(gateway, tmp_path)
    finish(gateway)
    assert gateway.job(JobKind.SHADOW).status is JobStatus.DONE
    assert shadow_rows(gateway) == []
