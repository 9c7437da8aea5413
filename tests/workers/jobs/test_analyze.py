from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db import analyses, dead_letters, jobs
from db.schema import (
    Analysis,
    AnalysisStatus,
    Decision,
    Finding,
    FindingKind,
    Job,
    JobKind,
    JobStatus,
    OutlineOrigin,
    Review,
    ReviewOutline,
    Role,
    Study,
    StudyStatus,
    User,
)
from models.types import FramePrediction, PresetCorrupt
from tests.workers.fake_images import (
    MALIGNANT_PROBABILITIES,
    FakePredictor,
    FakeSoftPredictor,
    Pixels,
    draw_frame,
    study,
    write_image,
)
from tests.workers.gateway import Gateway
from workers.pipeline.types import FramePredictor
from workers.queue.runner import job_handlers
from workers.results.gray_png import read_gray, read_mask
from workers.services import LazyPredictor

LESION = draw_frame((100, 80, 20))
BLACK = np.zeros((64, 64), np.uint8)


def analyze(gateway: Gateway) -> None:
    """Run the newest ANALYZE job, and nothing that it makes due."""
    gateway.runner.run(gateway.job(JobKind.ANALYZE).id, JobKind.ANALYZE)


def look(gateway: Gateway) -> tuple[Study, Analysis]:
    with gateway.database.read() as session:
        analysis = session.scalars(select(Analysis).order_by(Analysis.started_at.desc())).first()
        assert analysis is not None
        return session.scalars(select(Study)).one(), analyses.load_complete(session, analysis.id)


def with_predictor(gateway: Gateway, predictor: FramePredictor) -> Gateway:
    return Gateway(replace(gateway.services, predictor=lambda: predictor), gateway.clock)


def test_findings_are_stored_in_rows_and_files(gateway: Gateway, tmp_path: Path) -> None:
    gateway.receive(write_image(tmp_path / "a.dcm", LESION))
    gateway.receive(
        write_image(tmp_path / "b.dcm", [draw_frame(), LESION, LESION, LESION], number=2)
    )
    analyze(gateway)
    found, analysis = look(gateway)
    assert (found.status, found.status_reason) == (StudyStatus.ANALYZED, "")
    assert (analysis.status, analysis.label) == (AnalysisStatus.DONE, "malignant")
    assert analysis.probabilities == pytest.approx(MALIGNANT_PROBABILITIES)
    assert analysis.finished_at == gateway.clock()
    assert {(f.kind, f.number, f.frame_number) for f in analysis.findings} == {
        (FindingKind.IMAGE, 1, 1),
        (FindingKind.LESION, 1, 1),
        (FindingKind.IMAGE, 2, 2),
        (FindingKind.LESION, 2, 2),
        (FindingKind.LESION, 2, 3),
        (FindingKind.LESION, 2, 4),
    }
    assert gateway.job(JobKind.PUBLISH).subject_id == analysis.id
    assert gateway.tags() == ["worker:study:analysed"]


def test_a_lesion_row_has_its_outline_and_measurements(gateway: Gateway, tmp_path: Path) -> None:
    gateway.receive(write_image(tmp_path / "a.dcm", LESION))
    analyze(gateway)
    _, analysis = look(gateway)
    [lesion] = [f for f in analysis.findings if f.kind is FindingKind.LESION]
    assert lesion.bbox == [80, 60, 121, 101]
    assert lesion.contour
    assert lesion.area_mm2 == pytest.approx(np.pi * 4, rel=0.03)
    assert (lesion.row_spacing_mm, lesion.column_spacing_mm) == pytest.approx((0.1, 0.1))
    assert lesion.mask_file is not None
    assert str(lesion.instance_id) in lesion.mask_file
    mask = read_mask(gateway.services.store.path(lesion.mask_file))
    assert np.array_equal(mask, LESION == 255)


def test_an_image_row_lists_every_classified_frame(gateway: Gateway, tmp_path: Path) -> None:
    gateway.receive(write_image(tmp_path / "a.dcm", [draw_frame(), LESION, LESION, LESION]))
    analyze(gateway)
    _, analysis = look(gateway)
    [image] = [f for f in analysis.findings if f.kind is FindingKind.IMAGE]
    assert image.frames is not None
    assert [frame.frame_number for frame in image.frames] == [1, 2, 3, 4]
    assert image.frames[1].probabilities == pytest.approx(MALIGNANT_PROBABILITIES)
    heatmap = gateway.services.store.path(image.frames[1].heatmap_file or "")
    assert np.array_equal(read_mask(heatmap), LESION == 255)


def test_the_lesion_probability_is_stored_with_the_heat_map(
    gateway: Gateway, tmp_path: Path
) -> None:
    gateway.receive(write_image(tmp_path / "a.dcm", [draw_frame(), LESION, LESION, LESION]))
    analyze(with_predictor(gateway, FakeSoftPredictor()))
    _, analysis = look(gateway)
    [image] = [f for f in analysis.findings if f.kind is FindingKind.IMAGE]
    empty, shown, *_ = image.frames or ()
    assert empty.lesion_probability_file is None
    heatmap, probability = (
        gateway.services.store.path(file or "")
        for file in (shown.heatmap_file, shown.lesion_probability_file)
    )
    assert heatmap.parent == probability.parent
    pixels = read_gray(probability)
    assert pixels[80, 100] == 255
    assert len(np.unique(pixels)) > 10


def test_a_study_without_analyzable_images_is_refused_with_reasons(
    gateway: Gateway, tmp_path: Path
) -> None:
    gateway.receive(write_image(tmp_path / "a.dcm", BLACK, spacing_mm=None))
    tiny = np.full((1, 1), 200, np.uint8)
    gateway.receive(write_image(tmp_path / "b.dcm", tiny, number=2, spacing_mm=None))
    analyze(gateway)
    found, analysis = look(gateway)
    assert found.status is StudyStatus.REFUSED
    assert found.status_reason == "refused: too-dark, too-small"
    assert (analysis.status, analysis.label) == (AnalysisStatus.REFUSED, None)
    assert analysis.probabilities is None
    assert {r.code for r in analysis.refusals if r.frame_number is None} == {
        "too-dark",
        "too-small",
    }
    assert gateway.job(JobKind.PUBLISH).subject_id == analysis.id
    assert gateway.tags() == ["worker:study:refused"]


def test_one_refused_image_does_not_stop_the_others(gateway: Gateway, tmp_path: Path) -> None:
    gateway.receive(write_image(tmp_path / "a.dcm", BLACK, spacing_mm=None))
    gateway.receive(write_image(tmp_path / "b.dcm", LESION, number=2))
    analyze(gateway)
    found, analysis = look(gateway)
    assert (found.status, analysis.label) == (StudyStatus.ANALYZED, "malignant")
    assert "too-dark" in {refusal.code for refusal in analysis.refusals}


def test_late_images_start_a_new_analysis_with_a_predecessor(
    gateway: Gateway, tmp_path: Path
) -> None:
    gateway.receive(write_image(tmp_path / "a.dcm", draw_frame()))
    analyze(gateway)
    _, first = look(gateway)
    gateway.clock.skip(minutes=1)
    gateway.receive(write_image(tmp_path / "b.dcm", LESION, number=2))
    analyze(gateway)
    found, second = look(gateway)
    assert (found.revision, found.status) == (2, StudyStatus.ANALYZED)
    assert second.predecessor_id == first.id
    assert (first.label, second.label) == ("normal", "malignant")
    assert (first.revision, second.revision) == (1, 2)


Named = dict[tuple[int, int], tuple[str, int]]


def lesions(analysis: Analysis) -> Named:
    """Number in the study and tracking UID, by where the lesion's box begins on its image."""
    return {
        (found.bbox[0], found.instance.number or 0): (found.tracking_uid, found.number)
        for found in analysis.findings
        if found.bbox
    }


class Retrained(FakePredictor):
    """Other weights: what lies on the left is drawn smaller."""

    def __init__(self, left_of: int = 100, shrunk_px: int = 6) -> None:
        super().__init__()
        self.info = replace(self.info, segmenter_digest=f"{shrunk_px:064x}")
        self._left_of, self._shrunk_px = left_of, shrunk_px

    def predict(self, frames: Sequence[Pixels], *, batch_size: int = 8) -> list[FramePrediction]:
        seen = super().predict(frames, batch_size=batch_size)
        return [replace(each, mask=self._redrawn(each.mask)) for each in seen]

    def _redrawn(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        left = mask.copy()
        left[:, self._left_of :] = False
        smaller = ndimage.binary_erosion(left, iterations=self._shrunk_px)
        return np.asarray(smaller | (mask & ~left), np.bool_)


TWO = draw_frame((60, 80, 20), (150, 80, 17))


def test_a_late_image_that_sorts_first_does_not_rename_lesions(
    gateway: Gateway, tmp_path: Path
) -> None:
    gateway.receive(write_image(tmp_path / "b.dcm", TWO, number=2))
    analyze(gateway)
    before = lesions(look(gateway)[1])
    gateway.clock.skip(minutes=1)
    gateway.receive(write_image(tmp_path / "a.dcm", LESION, number=1))
    analyze(gateway)
    after = lesions(look(gateway)[1])
    assert {number for _, number in before.values()} == {1, 2}
    assert {place: after[place] for place in before} == before
    assert after[80, 1][1] == 3


def test_lesions_keep_their_numbers_when_other_weights_change_their_sizes(
    gateway: Gateway, tmp_path: Path
) -> None:
    gateway.receive(write_image(tmp_path / "a.dcm", TWO))
    analyze(gateway)
    before = lesions(look(gateway)[1])
    again(gateway)
    gateway.clock.skip(minutes=1)
    analyze(with_predictor(gateway, Retrained()))
    after = lesions(look(gateway)[1])
    assert (after[46, 1], after[133, 1]) == (before[40, 1], before[133, 1])


def test_the_number_of_a_missed_lesion_is_not_reused(gateway: Gateway, tmp_path: Path) -> None:
    gateway.receive(write_image(tmp_path / "a.dcm", TWO))
    analyze(gateway)
    before = lesions(look(gateway)[1])
    for late, predictor in enumerate((Retrained(shrunk_px=30), Retrained()), 2):
        gateway.clock.skip(minutes=1)
        another = draw_frame((150, 60, 17))
        gateway.receive(write_image(tmp_path / f"{late}.dcm", another, number=late))
        analyze(with_predictor(gateway, predictor))
    after = lesions(look(gateway)[1])
    assert (after[46, 1], after[133, 1]) == (before[40, 1], before[133, 1])
    assert [after[133, late][1] for late in (2, 3)] == [3, 4]


def test_a_new_lesion_does_not_take_the_number_of_a_readers_lesion(
    gateway: Gateway, tmp_path: Path
) -> None:
    gateway.receive(write_image(tmp_path / "a.dcm", LESION))
    analyze(gateway)
    _, first = look(gateway)
    with gateway.database.write() as session:
        draw(session, first, number=2, now=gateway.clock())
    gateway.clock.skip(minutes=1)
    gateway.receive(write_image(tmp_path / "b.dcm", LESION, number=2))
    analyze(gateway)
    assert lesions(look(gateway)[1])[80, 2][1] == 3


def draw(session: Session, analysis: Analysis, *, number: int, now: datetime) -> None:
    """A reader's draft with a lesion that the network has not."""
    reader = User(
        id=uuid4(), username="roentgen", display_name="W. Röntgen", dicom_name="Röntgen^Wilhelm",
        organization="Klinik", role=Role.RADIOLOGIST, password_hash="-", created_at=now,
    )  # fmt: skip
    review = Review(
        id=uuid4(), analysis_id=analysis.id, reader_id=reader.id, decision=Decision.MODIFY,
        created_at=now,
    )  # fmt: skip
    drawn = ReviewOutline(
        instance_id=analysis.findings[0].instance_id, frame_number=1, tracking_uid="2.25.7",
        number=number, origin=OutlineOrigin.DRAWN, contour=[[1, 1], [9, 1], [9, 9]],
    )  # fmt: skip
    review.outlines.append(drawn)
    session.add_all([reader, review])


def test_a_repeated_analysis_has_the_same_identities(gateway: Gateway, tmp_path: Path) -> None:
    gateway.receive(write_image(tmp_path / "a.dcm", TWO))
    analyze(gateway)
    gateway.clock.skip(minutes=1)
    gateway.receive(write_image(tmp_path / "b.dcm", TWO, number=2))
    now = gateway.clock()
    with gateway.database.write() as session:
        claim = jobs.claim(session, gateway.job(JobKind.ANALYZE).id, now)
    assert claim is not None
    names: list[Named] = []
    for _ in range(2):
        record = job_handlers(gateway.services)[JobKind.ANALYZE].handle(claim, now)
        with Session(gateway.database.engine) as session:  # nothing of it is committed
            record(session, now)
            newest = session.scalars(select(Analysis).where(Analysis.revision == 2)).one()
            names.append(lesions(newest))
    assert len(names[0]) == 4
    assert names[0] == names[1]


class Interrupted(FakePredictor):
    """Something happens while it looks."""

    def __init__(self, happen: object) -> None:
        super().__init__()
        self.happen = happen

    def predict(self, frames: Sequence[Pixels], *, batch_size: int = 8) -> list[FramePrediction]:
        if callable(self.happen):
            happen, self.happen = self.happen, None
            happen()
        return super().predict(frames, batch_size=batch_size)


def test_an_image_that_arrives_during_the_analysis_reopens_the_study(
    gateway: Gateway, tmp_path: Path
) -> None:
    late = write_image(tmp_path / "b.dcm", LESION, number=2)
    gateway.receive(write_image(tmp_path / "a.dcm", draw_frame()))
    analyze(with_predictor(gateway, Interrupted(lambda: gateway.receive(late))))
    found, first = look(gateway)
    assert (found.status, found.revision) == (StudyStatus.RECEIVING, 2)
    assert (first.status, first.label) == (AnalysisStatus.DONE, "normal")


def test_a_retry_does_not_change_a_study_that_was_reopened(
    gateway: Gateway, tmp_path: Path
) -> None:
    gateway.receive(write_image(tmp_path / "a.dcm", draw_frame()))
    job = gateway.job(JobKind.ANALYZE)
    with gateway.database.write() as session:
        claim = jobs.claim(session, job.id, gateway.clock())
        assert claim is not None
        jobs.fail(session, claim, "the disk was full", gateway.clock())
    gateway.clock.skip(minutes=1)
    gateway.receive(write_image(tmp_path / "b.dcm", LESION, number=2))
    gateway.runner.run(job.id, JobKind.ANALYZE)
    with gateway.database.read() as session:
        assert session.scalars(select(Analysis)).all() == []
        assert session.get_one(Job, job.id).status is JobStatus.DONE
        assert session.scalars(select(Study)).one().status is StudyStatus.RECEIVING


def test_a_second_run_after_a_crash_creates_no_duplicates(gateway: Gateway, tmp_path: Path) -> None:
    gateway.receive(write_image(tmp_path / "a.dcm", LESION))

    def die() -> None:
        raise SystemExit

    with pytest.raises(SystemExit):
        analyze(with_predictor(gateway, Interrupted(die)))
    _, before = look(gateway)
    assert before.status is AnalysisStatus.RUNNING
    gateway.clock.skip(minutes=2)
    gateway.run_due()
    with gateway.database.read() as session:
        [after] = session.scalars(select(Analysis))
        assert (after.id, after.status) == (before.id, AnalysisStatus.DONE)
        assert session.scalar(select(func.count()).select_from(Finding)) == 2


def again(gateway: Gateway) -> None:
    """Queue the finished analysis once more."""
    with gateway.database.write() as session:
        job = session.scalars(select(Job).where(Job.kind == JobKind.ANALYZE)).one()
        job.status = JobStatus.QUEUED
        session.scalars(select(Study)).one().status = StudyStatus.RECEIVING


def test_an_unchanged_revision_is_not_analyzed_again(gateway: Gateway, tmp_path: Path) -> None:
    predictor = FakePredictor()
    gateway = with_predictor(gateway, predictor)
    gateway.receive(write_image(tmp_path / "a.dcm", LESION))
    analyze(gateway)
    again(gateway)
    analyze(gateway)
    found, _ = look(gateway)
    assert found.status is StudyStatus.ANALYZED
    assert predictor.batches == [1]
    with gateway.database.read() as session:
        assert len(session.scalars(select(Analysis)).all()) == 1
        assert len(session.scalars(select(Job).where(Job.kind == JobKind.PUBLISH)).all()) == 1


def test_an_unchanged_revision_is_analyzed_again_with_other_weights(
    gateway: Gateway, tmp_path: Path
) -> None:
    gateway.receive(write_image(tmp_path / "a.dcm", LESION))
    analyze(gateway)
    _, first = look(gateway)
    again(gateway)
    gateway.clock.skip(minutes=1)
    retrained = FakePredictor()
    retrained.info = replace(retrained.info, segmenter_digest="ef" * 32)
    analyze(with_predictor(gateway, retrained))
    _, second = look(gateway)
    assert second.id != first.id
    assert second.predecessor_id == first.id
    assert second.segmenter_digest == "ef" * 32


def test_a_corrupt_preset_is_reported_as_a_dead_letter(gateway: Gateway, tmp_path: Path) -> None:
    broken = [True]

    def load(_: Path | None) -> FramePredictor:
        if broken[0]:
            raise PresetCorrupt("classifier.weights.h5", "expected SHA-256 ab…, found cd…")
        return FakePredictor()

    lazy = LazyPredictor(None, load)
    gateway = Gateway(replace(gateway.services, predictor=lazy), gateway.clock)
    gateway.receive(write_image(tmp_path / "a.dcm", LESION))
    analyze(gateway)
    with gateway.database.read() as session:
        found = session.scalars(select(Study)).one()
    assert found.status is StudyStatus.FAILED
    assert "classifier.weights.h5" in found.status_reason
    assert gateway.job(JobKind.ANALYZE).status is JobStatus.DEAD_LETTER
    assert gateway.tags() == ["worker:study:failed"]

    broken[0] = False
    with gateway.database.write() as session:
        job_id = gateway.job(JobKind.ANALYZE).id
        assert dead_letters.retry(session, job_id, actor="admin", now=gateway.clock())
    analyze(gateway)
    found, _ = look(gateway)
    assert found.status is StudyStatus.ANALYZED


def test_an_analysis_is_postponed_while_the_disk_is_full(gateway: Gateway, tmp_path: Path) -> None:
    gateway.receive(write_image(tmp_path / "a.dcm", LESION))
    gateway.services.store.min_free_bytes = 1 << 60
    analyze(gateway)
    job = gateway.job(JobKind.ANALYZE)
    assert job.status is JobStatus.QUEUED
    assert "free some space" in job.error
    gateway.services.store.min_free_bytes = 0
    gateway.clock.skip(minutes=1)
    gateway.run_due()
    found, _ = look(gateway)
    assert found.status is StudyStatus.ANALYZED


def test_two_studies_are_independent(gateway: Gateway, tmp_path: Path) -> None:
    one = gateway.receive(write_image(tmp_path / "a.dcm", LESION))
    facts = study("1.2.3.5")
    other = gateway.receive(write_image(tmp_path / "b.dcm", draw_frame(), facts=facts))
    gateway.run_due()
    with gateway.database.read() as session:
        found = session.scalars(select(Analysis))
        labels = {analysis.study_id: analysis.label for analysis in found}
    assert labels == {one: "malignant", other: "normal"}
