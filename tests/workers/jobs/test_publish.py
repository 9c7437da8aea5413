import json
import re
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from uuid import UUID, uuid4

import numpy as np
import pytest
from pydicom.dataset import Dataset
from sqlalchemy import select
from sqlalchemy.orm import Session

from db import analyses, dead_letters, intake, jobs, results
from db.engine import Database
from db.schema import (
    Analysis,
    AuditEvent,
    Delivery,
    Instance,
    Job,
    JobKind,
    JobStatus,
    ResultObject,
    ResultSet,
    Study,
    StudyStatus,
)
from dicom.results.catalogue import CATALOGUE, build_set, parse_spec
from dicom.results.result_kind import ResultSpec
from dicom.results.segmentation_reader import read_back_segmentation
from dicom.results.sr.verify import ReadReport, read_back_report
from tests.dicom import making
from tests.workers.fake_images import (
    MALIGNANT_PROBABILITIES,
    FakePredictor,
    FakeSoftPredictor,
    draw_frame,
    study,
    write_image,
)
from tests.workers.gateway import SENDER, Gateway, shortest, stored
from workers.errors import EarlierAnalysisPending
from workers.queue.runner import job_handlers
from workers.results.loading import load_result
from workers.results.selection import parse_selection
from workers.results.writer import ResultWriter

LESION = draw_frame((100, 80, 20))


@pytest.fixture
def database(sqlite_database: Database) -> Database:
    """The chaos tests publish on PostgreSQL."""
    return sqlite_database


def run(gateway: Gateway, *kinds: JobKind) -> None:
    for kind in kinds:
        gateway.runner.run(gateway.job(kind).id, kind)


def publish(gateway: Gateway) -> None:
    run(gateway, JobKind.ANALYZE, JobKind.PUBLISH)


def objects(gateway: Gateway, kind: str) -> list[tuple[ResultObject, Path]]:
    with gateway.database.read() as session:
        found = session.scalars(
            select(ResultObject)
            .where(ResultObject.spec == stored(kind))
            .order_by(ResultObject.created_at, ResultObject.sop_instance_uid)
        )
        return [(made, gateway.services.store.path(made.file)) for made in found]


def report(gateway: Gateway) -> ReadReport:
    """The newest SR."""
    return read_back_report(objects(gateway, "sr")[-1][1])


def deliveries(gateway: Gateway) -> list[tuple[str, str]]:
    with gateway.database.read() as session:
        return [(d.destination.name, d.route) for d in session.scalars(select(Delivery))]


def test_a_study_gets_one_report_and_a_segmentation_for_each_image_with_lesions(
    gateway: Gateway, tmp_path: Path
) -> None:
    gateway.receive(write_image(tmp_path / "a.dcm", LESION))
    gateway.receive(
        write_image(tmp_path / "b.dcm", [draw_frame(), LESION, LESION, LESION], number=2)
    )
    gateway.receive(write_image(tmp_path / "c.dcm", draw_frame(), number=3))
    publish(gateway)
    segmentations = objects(gateway, "seg")
    assert len(segmentations) == 2
    for row, path in segmentations:
        seen = read_back_segmentation(path)
        assert seen.sop_instance_uid == row.sop_instance_uid
        for mask in seen.segments[0].masks.values():
            assert np.array_equal(mask, LESION == 255)
    seen_report = report(gateway)
    assert (seen_report.label, seen_report.verified) == ("malignant", False)
    assert seen_report.probabilities == pytest.approx(MALIGNANT_PROBABILITIES, abs=1e-3)
    assert len(seen_report.images) == 3
    assert gateway.tags()[-1] == "worker:analysis:published"


def test_results_are_sent_to_the_destinations_of_the_matching_route(
    gateway: Gateway, tmp_path: Path
) -> None:
    gateway.receive(write_image(tmp_path / "a.dcm", LESION))
    publish(gateway)
    assert deliveries(gateway) == [("pacs", "breast")]
    assert gateway.job(JobKind.DELIVER).status is JobStatus.QUEUED


def test_results_of_a_study_without_a_route_are_not_sent_and_that_is_recorded(
    gateway: Gateway, tmp_path: Path
) -> None:
    gateway.services.settings.effective_routes_file.write_text("")
    gateway.receive(write_image(tmp_path / "a.dcm", LESION))
    publish(gateway)
    assert deliveries(gateway) == []
    assert gateway.tags()[-2:] == ["worker:analysis:published", "worker:study:no-route"]


def test_a_destination_without_selected_objects_gets_no_delivery(
    gateway: Gateway, tmp_path: Path
) -> None:
    routes = gateway.services.settings.effective_routes_file
    both = routes.read_text().replace('destinations = ["pacs"]', 'destinations = ["pacs", "seg"]')
    seg = '[[destination]]\nname="seg"\nae_title="S"\nhost="127.0.0.1"\nport=1\nresults=["seg"]'
    routes.write_text(f"{both}\n{seg}\n")
    gateway.receive(write_image(tmp_path / "a.dcm", draw_frame()))
    publish(gateway)
    assert deliveries(gateway) == [("pacs", "breast")]


def rewrite_routes(gateway: Gateway, old: str, new: str) -> None:
    path = gateway.services.settings.effective_routes_file
    path.write_text(path.read_text().replace(old, new, 1))


def set_selection(gateway: Gateway, *results: str) -> None:
    """The PACS of the route wants these."""
    path = gateway.services.settings.effective_routes_file
    path.write_text(
        re.sub(r"results = .*", f"results = {list(results)}", path.read_text(), count=1)
    )


def due_at(gateway: Gateway, name: str) -> Sequence[ResultObject]:
    with gateway.database.read() as session:
        (delivery,) = (d for d in session.scalars(select(Delivery)) if d.destination.name == name)
        return results.list_delivery_objects(session, delivery, [stored("sr")])


def test_a_destination_receives_every_selected_kind(gateway: Gateway, tmp_path: Path) -> None:
    here = [kind for kind in CATALOGUE if kind != "heatmap-pm"]  # these images are nowhere in space
    every = [*here, "sr:comprehensive-3d", "sr:enhanced", "seg:fractional", "heatmap-sc:jpeg"]
    set_selection(gateway, *every, "heatmap-pm")
    gateway.receive(write_image(tmp_path / "a.dcm", LESION))
    gateway.receive(write_image(tmp_path / "b.dcm", [draw_frame(), LESION, LESION], number=2))
    publish(gateway)
    specs = [shortest([made.spec]) for made in due_at(gateway, "pacs")]
    assert set(specs) == set(every)
    assert [parse_spec(spec).kind.name for spec in dict.fromkeys(specs)] == sorted(
        (parse_spec(spec).kind.name for spec in set(every)), key=list(CATALOGUE).index
    )
    with gateway.database.read() as session:
        told = session.scalars(
            select(AuditEvent.details).where(AuditEvent.tag == "worker:analysis:published")
        ).one()
    assert json.loads(told)["left_out"] == {
        "heatmap-pm": [
            "The header's FrameOfReferenceUID is missing.",
            "The header's NumberOfFrames is more than 1, and no plane is known for each frame.",
        ]
    }


def test_heat_maps_are_those_of_the_frames_of_the_images_class(
    gateway: Gateway, tmp_path: Path
) -> None:
    set_selection(gateway, "heatmap-seg")
    gateway.receive(write_image(tmp_path / "a.dcm", [draw_frame(), LESION, LESION]))
    publish(gateway)
    [made] = due_at(gateway, "pacs")
    [segment] = read_back_segmentation(gateway.services.store.path(made.file)).segments
    assert set(segment.planes) == {2, 3}
    for plane in segment.planes.values():
        assert np.array_equal(plane == 255, LESION == 255)


def test_a_fractional_segmentation_holds_lesion_probabilities(
    gateway: Gateway, tmp_path: Path
) -> None:
    set_selection(gateway, "seg:fractional")
    gateway.receive(write_image(tmp_path / "a.dcm", draw_frame((60, 80, 20), (150, 80, 20))))
    soft = Gateway(replace(gateway.services, predictor=FakeSoftPredictor), gateway.clock)
    publish(soft)
    [made] = due_at(gateway, "pacs")
    left, right = read_back_segmentation(gateway.services.store.path(made.file)).segments
    for segment, (at, elsewhere) in zip((left, right), ((60, 150), (150, 60)), strict=True):
        [plane] = segment.planes.values()
        assert plane[80, at] == 255
        assert plane[80, elsewhere] == 0
        assert ((plane > 0) & (plane < 255)).sum() > 500


def test_the_class_of_a_cine_names_the_averaged_frames(gateway: Gateway, tmp_path: Path) -> None:
    gateway.receive(
        write_image(tmp_path / "a.dcm", [draw_frame(), draw_frame(), LESION, LESION, draw_frame()])
    )
    publish(gateway)
    [image] = report(gateway).images
    assert image.frames == (1, 3, 4)  # the first of the normal ones is the third
    assert image.probabilities is not None
    assert image.probabilities[2] == pytest.approx(
        (2 * MALIGNANT_PROBABILITIES[2] + 0.03) / 3, abs=1e-3
    )


def test_heat_maps_are_read_from_disk_on_demand(gateway: Gateway, tmp_path: Path) -> None:
    gateway.receive(write_image(tmp_path / "a.dcm", LESION))
    run(gateway, JobKind.ANALYZE)
    with gateway.database.read() as session:
        analysis = analyses.load_complete(session, session.scalars(select(Analysis.id)).one())
    [image] = load_result(analysis, gateway.services.store).images
    assert list(image.heatmaps) == [1]
    assert image.heatmaps[1] is not image.heatmaps[1]
    assert np.array_equal(image.heatmaps[1] == 255, LESION == 255)


def test_each_selection_has_its_own_report_and_shared_objects_are_created_once(
    gateway: Gateway, tmp_path: Path
) -> None:
    """The report of a destination that takes no segmentation names none."""
    rewrite_routes(gateway, 'destinations = ["pacs"]', 'destinations = ["pacs", "reports-only"]')
    gateway.receive(write_image(tmp_path / "a.dcm", LESION))
    publish(gateway)
    both, alone = due_at(gateway, "pacs"), due_at(gateway, "reports-only")
    assert shortest(made.spec for made in (*both, *alone)) == "seg sr sr"
    named = [
        {lesion.segmentation_uid for lesion in read_back_report(path).lesions} - {""}
        for path in (gateway.services.store.path(made.file) for made in (both[1], alone[0]))
    ]
    assert named == [{both[0].sop_instance_uid}, set()]
    with gateway.database.read() as session:
        assert len(session.scalars(select(ResultObject)).all()) == 3


def test_the_default_selection_is_always_created(gateway: Gateway, tmp_path: Path) -> None:
    set_selection(gateway, "key-objects")
    gateway.receive(write_image(tmp_path / "a.dcm", LESION))
    publish(gateway)
    assert shortest(made.spec for made in due_at(gateway, "pacs")) == "key-objects"
    assert (len(objects(gateway, "seg")), len(objects(gateway, "sr"))) == (1, 1)


def test_a_revision_names_the_report_that_each_destination_received(
    gateway: Gateway, tmp_path: Path
) -> None:
    set_selection(gateway, "sr", "sr:enhanced")
    gateway.receive(write_image(tmp_path / "a.dcm", LESION))
    publish(gateway)
    first = {made.spec: made.sop_instance_uid for made in due_at(gateway, "pacs")}
    gateway.clock.skip(minutes=1)
    gateway.receive(write_image(tmp_path / "b.dcm", LESION, number=2))
    publish(gateway)
    with gateway.database.read() as session:
        newest = session.scalars(select(ResultSet).order_by(ResultSet.created_at)).all()[-1]
        second = {
            made.spec: read_back_report(gateway.services.store.path(made.file)).predecessor_uid
            for made in newest.objects
            if [stored("sr"), "sr:enhanced"] in made.selections
        }
    assert second == first


def test_a_changed_selection_names_the_most_similar_earlier_report(
    gateway: Gateway, tmp_path: Path
) -> None:
    gateway.receive(write_image(tmp_path / "a.dcm", LESION))
    publish(gateway)
    first = report(gateway)
    gateway.clock.skip(minutes=1)
    set_selection(gateway, "sr:comprehensive-3d")
    gateway.receive(write_image(tmp_path / "b.dcm", LESION, number=2))
    publish(gateway)
    [(_, path)] = objects(gateway, "sr:comprehensive-3d")
    assert read_back_report(path).predecessor_uid == first.sop_instance_uid


def test_a_second_run_changes_nothing(gateway: Gateway, tmp_path: Path) -> None:
    gateway.receive(write_image(tmp_path / "a.dcm", LESION))
    publish(gateway)
    before = objects(gateway, "sr")
    with gateway.database.write() as session:
        job = session.scalars(select(Job).where(Job.kind == JobKind.PUBLISH)).one()
        job.status = JobStatus.QUEUED
    run(gateway, JobKind.PUBLISH)
    assert gateway.job(JobKind.PUBLISH).status is JobStatus.DONE
    assert [row.id for row, _ in objects(gateway, "sr")] == [before[0][0].id]
    with gateway.database.read() as session:
        assert len(session.scalars(select(ResultSet)).all()) == 1


def test_a_repetition_creates_the_same_bytes(gateway: Gateway, tmp_path: Path) -> None:
    gateway.receive(write_image(tmp_path / "a.dcm", LESION))
    gateway.receive(write_image(tmp_path / "b.dcm", [LESION] * 3, number=2))
    run(gateway, JobKind.ANALYZE)
    with gateway.database.write() as session:
        claim = jobs.claim(session, gateway.job(JobKind.PUBLISH).id, gateway.clock())
    assert claim is not None
    job_handlers(gateway.services)[JobKind.PUBLISH].handle(
        claim, gateway.clock()
    )  # and then it crashes
    made = gateway.services.store.root / "results"
    before = {path: path.read_bytes() for path in made.rglob("*.dcm")}
    gateway.clock.skip(minutes=2)
    gateway.run_due()
    assert len(before) == 3
    assert {path: path.read_bytes() for path in made.rglob("*.dcm")} == before


def test_the_report_lists_refused_images(gateway: Gateway, tmp_path: Path) -> None:
    black = np.zeros((64, 64), np.uint8)
    gateway.receive(write_image(tmp_path / "a.dcm", black, spacing_mm=None))
    publish(gateway)
    seen = report(gateway)
    assert (seen.label, seen.refusals) == (None, ("too-dark",))
    assert objects(gateway, "seg") == []
    assert deliveries(gateway) == [("pacs", "breast")]


def test_a_revision_names_its_predecessor(gateway: Gateway, tmp_path: Path) -> None:
    gateway.receive(write_image(tmp_path / "a.dcm", draw_frame()))
    publish(gateway)
    first = report(gateway)
    gateway.clock.skip(minutes=1)
    gateway.receive(write_image(tmp_path / "b.dcm", LESION, number=2))
    publish(gateway)
    second = report(gateway)
    assert first.predecessor_uid is None
    assert second.predecessor_uid == first.sop_instance_uid


def publications(gateway: Gateway) -> list[Job]:
    """The jobs, in the order of their analyses."""
    with gateway.database.read() as session:
        found = session.scalars(select(Job).where(Job.kind == JobKind.PUBLISH))
        return sorted(found, key=lambda job: job.created_at)


def sets(gateway: Gateway) -> list[tuple[UUID, list[str]]]:
    """By creation: the analysis, and where its results go."""
    with gateway.database.read() as session:
        found = session.scalars(select(ResultSet).order_by(ResultSet.created_at))
        return [(s.analysis_id, [d.destination.name for d in s.deliveries]) for s in found]


@pytest.fixture
def two_analyses(gateway: Gateway, tmp_path: Path) -> Gateway:
    """Of one study, and neither is published."""
    for number in (1, 2):
        gateway.receive(write_image(tmp_path / f"{number}.dcm", LESION, number=number))
        run(gateway, JobKind.ANALYZE)
        gateway.clock.skip(minutes=1)
    return gateway


def test_a_revision_is_postponed_until_its_predecessor_is_published(two_analyses: Gateway) -> None:
    first, second = publications(two_analyses)
    for _ in range(2 * jobs.MAX_ATTEMPTS[JobKind.PUBLISH]):
        two_analyses.runner.run(second.id, JobKind.PUBLISH)
    first, second = publications(two_analyses)
    assert (second.status, second.attempts) == (JobStatus.QUEUED, 0)
    assert second.error == "waiting for the results of an earlier analysis of the study"
    two_analyses.runner.run(first.id, JobKind.PUBLISH)
    before = report(two_analyses).sop_instance_uid
    two_analyses.clock.skip(minutes=1)
    two_analyses.runner.run(second.id, JobKind.PUBLISH)
    assert report(two_analyses).predecessor_uid == before
    assert [names for _, names in sets(two_analyses)] == [["pacs"], ["pacs"]]


def test_a_publication_that_was_given_up_does_not_block_later_ones_and_is_not_sent_after_them(
    two_analyses: Gateway,
) -> None:
    first, second = publications(two_analyses)
    with two_analyses.database.write() as session:
        session.get_one(Job, first.id).status = JobStatus.DEAD_LETTER
    two_analyses.runner.run(second.id, JobKind.PUBLISH)
    newest = report(two_analyses)
    assert newest.predecessor_uid is None
    two_analyses.clock.skip(minutes=1)
    with two_analyses.database.write() as session:
        dead_letters.retry(session, first.id, actor="admin", now=two_analyses.clock())
    two_analyses.runner.run(first.id, JobKind.PUBLISH)
    assert publications(two_analyses)[0].status is JobStatus.DONE
    assert sets(two_analyses) == [(second.subject_id, ["pacs"]), (first.subject_id, [])]
    with two_analyses.database.read() as session:
        told = session.scalars(
            select(AuditEvent.details)
            .where(AuditEvent.tag == "worker:analysis:published")
            .order_by(AuditEvent.seq)
        ).all()
    assert json.loads(told[-1])["superseded_by"] == str(second.subject_id)
    assert "superseded_by" not in json.loads(told[0])


def test_an_analysis_published_meanwhile_is_named_as_predecessor(two_analyses: Gateway) -> None:
    """An administrator starts the earlier one again just while the later one is being made."""
    first, second = publications(two_analyses)
    with two_analyses.database.write() as session:
        session.get_one(Job, first.id).status = JobStatus.DEAD_LETTER
        claim = jobs.claim(session, second.id, two_analyses.clock())
    assert claim is not None
    put_in = job_handlers(two_analyses.services)[JobKind.PUBLISH].handle(
        claim, two_analyses.clock()
    )
    with two_analyses.database.write() as session:
        dead_letters.retry(session, first.id, actor="admin", now=two_analyses.clock())
    two_analyses.runner.run(first.id, JobKind.PUBLISH)
    before = report(two_analyses).sop_instance_uid
    with pytest.raises(EarlierAnalysisPending), two_analyses.database.write() as session:
        put_in(session, two_analyses.clock())
    two_analyses.clock.skip(minutes=2)
    two_analyses.run_due()
    assert report(two_analyses).predecessor_uid == before


def test_written_objects_are_not_kept_in_memory(gateway: Gateway, tmp_path: Path) -> None:
    """However large the study: an object's pixels are let go before the next one is made."""
    made = [making.write_image(tmp_path / f"{n}.dcm", instance_number=n) for n in range(1, 9)]
    heat = np.full((64, 80), 200, np.uint8)
    images = [making.image_result(path, heatmaps={1: heat}) for path in made]
    came: list[weakref.ref[Dataset]] = []

    def watched() -> Iterator[tuple[ResultSpec, Dataset]]:
        for spec, one in build_set(selection, making.study_result(*images)):
            came.append(weakref.ref(one))
            assert sum(each() is not None for each in came) == 1
            yield spec, one
            del one

    selection = parse_selection(["heatmap-sc"])
    result_writer = ResultWriter(gateway.services.store, uuid4(), making.study_result(*images))
    result_writer.write(selection, watched())
    assert len(result_writer.written) == len(came) == 8
    assert all(each() is None for each in came)


def by_button(session: Session, gateway: Gateway) -> None:
    job_id = gateway.job(JobKind.PUBLISH).id
    dead_letters.retry(session, job_id, actor="admin", now=gateway.clock())


def by_sending_again(session: Session, gateway: Gateway) -> None:
    held = session.scalars(select(Instance)).one()
    again = intake.DuplicateInstance(held.id, SENDER, gateway.clock())
    intake.record_arrivals(session, [again], gateway.clock())


@pytest.mark.parametrize("revive", [by_button, by_sending_again])
def test_a_missing_source_file_is_reported_and_can_be_retried(
    gateway: Gateway, tmp_path: Path, revive: Callable[[Session, Gateway], None]
) -> None:
    gateway.receive(write_image(tmp_path / "a.dcm", LESION))
    run(gateway, JobKind.ANALYZE)
    [source] = (gateway.services.store.root / "instances").rglob("*.dcm")
    content = source.read_bytes()
    source.write_text("damaged")
    for _ in range(5):
        run(gateway, JobKind.PUBLISH)
    with gateway.database.read() as session:
        found = session.scalars(select(Study)).one()
    assert found.status is StudyStatus.FAILED
    assert found.status_reason.startswith("the results could not be published:")
    source.write_bytes(content)
    with gateway.database.write() as session:
        revive(session, gateway)
    run(gateway, JobKind.PUBLISH)
    with gateway.database.read() as session:
        found = session.scalars(select(Study)).one()
        assert (found.status, found.status_reason) == (StudyStatus.ANALYZED, "")
    assert deliveries(gateway) == [("pacs", "breast")]


def test_a_phantom_is_labeled_as_one(gateway: Gateway, tmp_path: Path) -> None:
    facts = replace(study(), patient_id="PHANTOM-1")
    gateway.receive(write_image(tmp_path / "a.dcm", LESION, facts=facts))
    publish(gateway)
    assert any("Not for diagnosis" in comment for comment in report(gateway).comments)


def test_an_undecided_study_is_published_as_indeterminate(gateway: Gateway, tmp_path: Path) -> None:
    cautious = FakePredictor()
    cautious.info = replace(cautious.info, confidence_threshold=0.95)
    gateway = Gateway(replace(gateway.services, predictor=lambda: cautious), gateway.clock)
    gateway.receive(write_image(tmp_path / "a.dcm", LESION))
    publish(gateway)
    seen = report(gateway)
    assert (seen.label, seen.undecided) == (None, True)
    assert seen.probabilities == pytest.approx(MALIGNANT_PROBABILITIES)
    assert len(objects(gateway, "seg")) == 1
    with gateway.database.read() as session:
        analysis = session.scalars(select(Analysis)).one()
        assert (analysis.label, analysis.displayed_class) == ("malignant", "undecided")
        assert analysis.confidence_threshold == 0.95
        assert [finding.undecided for finding in analysis.findings] == [True, True]
