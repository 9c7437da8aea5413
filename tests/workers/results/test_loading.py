from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import select

from db import analyses
from db.engine import Database
from db.outlines import ReaderOutline
from db.schema import Analysis, FindingKind, JobKind, OutlineOrigin
from dicom.results.model import LesionResult, StudyResult
from tests.workers.fake_images import FakeSoftPredictor, Pixels, draw_frame, write_image
from tests.workers.gateway import Gateway
from workers.pipeline.image import analyze_image
from workers.pipeline.study import algorithm_of, build_study_result
from workers.results.loading import load_result
from workers.results.reader_lesions import build_reviewed_lesions

TWO = draw_frame((60, 80, 20), (150, 80, 17), (30, 20, 4))
PIXELS: tuple[Pixels | list[Pixels], ...] = (
    TWO,
    [draw_frame(), TWO, TWO, draw_frame((64, 80, 20))],
)


@pytest.fixture
def database(sqlite_database: Database) -> Database:
    """SQLite only: other tests write these rows on PostgreSQL too."""
    return sqlite_database


@pytest.fixture
def gateway(gateway: Gateway) -> Gateway:
    """With a network that returns a probability for each pixel."""
    return Gateway(replace(gateway.services, predictor=FakeSoftPredictor), gateway.clock)


@pytest.fixture
def analysis(gateway: Gateway, tmp_path: Path) -> Analysis:
    """Of a still and a cine, both with two lesions and a patch too small for one."""
    for number, pixels in enumerate(PIXELS, 1):
        gateway.receive(write_image(tmp_path / f"{number}.dcm", pixels, number=number))
    gateway.runner.run(gateway.job(JobKind.ANALYZE).id, JobKind.ANALYZE)
    with gateway.database.read() as session:
        return analyses.load_complete(session, session.scalars(select(Analysis.id)).one())


def lesions(result: StudyResult) -> list[LesionResult]:
    return sorted(
        (lesion for image in result.images for lesion in image.lesions),
        key=lambda lesion: (lesion.tracking_id, lesion.frame_number),
    )


def test_the_stored_result_equals_that_of_the_pipeline(
    gateway: Gateway, analysis: Analysis, tmp_path: Path
) -> None:
    predictor = FakeSoftPredictor()
    images = [analyze_image(tmp_path / name, predictor) for name in ("1.dcm", "2.dcm")]
    algorithm = algorithm_of(predictor.info)
    alone = build_study_result(
        images, analysis_id="a", algorithm=algorithm, produced_at=gateway.clock()
    )
    stored = load_result(analysis, gateway.services.store)
    assert len(lesions(stored)) == 7
    for here, there in zip(lesions(stored), lesions(alone), strict=True):
        assert (here.tracking_id, here.frame_number) == (there.tracking_id, there.frame_number)
        assert here.tracking_uid == there.tracking_uid
        assert np.array_equal(here.mask, there.mask)
        assert here.probability is not None
        assert there.probability is not None
        assert np.array_equal(here.probability, there.probability)


def test_a_lesion_has_the_probability_of_the_pixels_nearest_to_it(
    gateway: Gateway, analysis: Analysis
) -> None:
    left, right, *_ = lesions(load_result(analysis, gateway.services.store))
    for lesion, other in ((left, right), (right, left)):
        assert lesion.probability is not None
        assert (lesion.probability[lesion.mask] > 0).all()
        assert not lesion.probability[other.mask].any()
        assert not lesion.probability[:30, :40].any()  # the patch that is too small
        assert len(np.unique(lesion.probability)) > 20


def test_an_analysis_without_stored_probability_has_masks_only(
    gateway: Gateway, analysis: Analysis
) -> None:
    for finding in analysis.findings:
        if finding.kind is FindingKind.IMAGE:
            finding.frames = [
                replace(frame, lesion_probability_file=None) for frame in finding.frames or ()
            ]
    found = lesions(load_result(analysis, gateway.services.store))
    assert len(found) == 7
    assert all(lesion.probability is None for lesion in found)


def test_an_outline_that_a_reader_changed_is_certain_and_its_neighbor_is_not(
    gateway: Gateway, analysis: Analysis
) -> None:
    result = load_result(analysis, gateway.services.store)
    still = result.images[0]
    left, right = sorted(still.lesions, key=lambda lesion: lesion.contour)
    changed = ReaderOutline(
        analysis.findings[0].instance_id, 1, left.tracking_uid, 1, OutlineOrigin.CORRECTED,
        ((20.0, 20.0), (60.0, 20.0), (60.0, 50.0), (20.0, 50.0)),
    )  # fmt: skip
    found = build_reviewed_lesions(result, analysis, [changed])[still.sop_instance_uid]
    by_uid = {lesion.tracking_uid: lesion for lesion in found}
    assert by_uid[left.tracking_uid].probability is None
    assert by_uid[right.tracking_uid].probability is right.probability
    assert right.probability is not None
