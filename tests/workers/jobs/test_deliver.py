import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # made at run time
    EnhancedSRStorage,
    KeyObjectSelectionDocumentStorage,
)
from sqlalchemy import select

from db import dead_letters, results
from db.schema import (
    AuditEvent,
    Decision,
    DeliveredObject,
    Delivery,
    DeliveryStatus,
    Destination,
    JobKind,
    JobStatus,
    ResultObject,
    ResultSet,
    Review,
    Role,
    User,
)
from dicom.results import profiles
from dicom.results.catalogue import parse_spec
from dicom.results.profiles import PROFILES
from dicom.results.sr.verify import ReadReport, read_back_report
from tests.workers.fake_images import draw_frame, write_image
from tests.workers.gateway import Gateway, shortest, stored
from tests.workers.pacs import CLASSES, run_pacs

SR, SEG = CLASSES[:2]
SR_SPEC = "sr:comprehensive"


@pytest.fixture
def published(gateway: Gateway, tmp_path: Path) -> Gateway:
    """One SEG and one SR, due at the PACS."""
    gateway.receive(write_image(tmp_path / "a.dcm", draw_frame((100, 80, 20))))
    for kind in (JobKind.ANALYZE, JobKind.PUBLISH):
        gateway.runner.run(gateway.job(kind).id, kind)
    return gateway


def deliver(gateway: Gateway) -> Delivery:
    gateway.runner.run(gateway.job(JobKind.DELIVER).id, JobKind.DELIVER)
    return look(gateway)


def look(gateway: Gateway) -> Delivery:
    with gateway.database.read() as session:
        return session.scalars(select(Delivery)).one()


def answers(gateway: Gateway) -> dict[str, int]:
    with gateway.database.read() as session:
        return {
            shortest([row.result_object.spec]): row.status_code
            for row in session.scalars(select(DeliveredObject))
        }


def classes(asked: Sequence[tuple[str, str]]) -> list[str]:
    return [sop_class for sop_class, _ in asked]


def rewrite_routes(gateway: Gateway, old: str, new: str) -> None:
    path = gateway.services.settings.effective_routes_file
    path.write_text(path.read_text().replace(old, new, 1))


def test_every_object_is_sent_and_its_status_recorded(published: Gateway, free_port: int) -> None:
    with run_pacs(port=free_port) as pacs:
        delivery = deliver(published)
    assert (delivery.status, delivery.attempts) == (DeliveryStatus.DELIVERED, 1)
    assert (delivery.error, delivery.delivered_at) == ("", published.clock())
    assert answers(published) == {"seg": 0, "sr": 0}
    assert classes(pacs.received) == [SEG, SR]
    assert pacs.associations == 1
    assert published.tags()[-1] == "worker:delivery:delivered"


def test_the_pacs_receives_the_bytes_of_the_digest(published: Gateway, free_port: int) -> None:
    with run_pacs(port=free_port) as pacs:
        deliver(published)
    with published.database.read() as session:
        for made in session.scalars(select(ResultObject)):
            content = published.services.store.path(made.file).read_bytes()
            assert content.endswith(pacs.stored[made.sop_instance_uid])


def test_a_warning_status_counts_as_accepted(published: Gateway, free_port: int) -> None:
    with run_pacs(port=free_port) as pacs:
        pacs.status_for = lambda _: 0xB007
        delivery = deliver(published)
    assert delivery.status is DeliveryStatus.DELIVERED
    assert set(answers(published).values()) == {0xB007}


def test_an_unreachable_pacs_is_retried_and_reported_once(
    published: Gateway, free_port: int
) -> None:
    for attempt in (1, 2, 3):
        delivery = deliver(published)
        assert (delivery.status, delivery.attempts) == (DeliveryStatus.RETRYING, attempt)
    assert "cannot connect" in delivery.error
    assert published.job(JobKind.DELIVER).status is JobStatus.QUEUED
    assert published.tags().count("worker:delivery:retrying") == 1
    with run_pacs(port=free_port):
        delivery = deliver(published)
    assert (delivery.status, delivery.error) == (DeliveryStatus.DELIVERED, "")


def test_a_retry_sends_only_what_was_not_accepted(published: Gateway, free_port: int) -> None:
    with run_pacs(port=free_port) as pacs:
        pacs.status_for = lambda sop_class: 0xA700 if sop_class == SR else 0
        delivery = deliver(published)
        assert delivery.status is DeliveryStatus.RETRYING
        assert "1 of 2 objects not accepted" in delivery.error
        assert "0xA700" in delivery.error
        assert answers(published) == {"seg": 0, "sr": 0xA700}
        pacs.status_for = lambda _: 0
        delivery = deliver(published)
    assert delivery.status is DeliveryStatus.DELIVERED
    assert classes(pacs.received) == [SEG, SR, SR]
    assert answers(published) == {"seg": 0, "sr": 0}


def test_a_permanent_refusal_is_a_dead_letter(published: Gateway, free_port: int) -> None:
    with run_pacs(port=free_port) as pacs:
        pacs.status_for = lambda sop_class: 0xA900 if sop_class == SEG else 0
        delivery = deliver(published)
        assert delivery.status is DeliveryStatus.FAILED
        assert answers(published) == {"seg": 0xA900, "sr": 0}
        assert published.job(JobKind.DELIVER).status is JobStatus.DEAD_LETTER
        assert published.tags()[-1] == "worker:delivery:failed"

        pacs.status_for = lambda _: 0
        with published.database.write() as session:
            job_id = published.job(JobKind.DELIVER).id
            dead_letters.retry(session, job_id, actor="admin", now=published.clock())
        assert deliver(published).status is DeliveryStatus.DELIVERED
    assert classes(pacs.received) == [SEG, SR, SEG]


def test_deliveries_are_sent_once_the_pacs_knows_our_ae_title(
    published: Gateway, free_port: int
) -> None:
    with run_pacs(port=free_port, known_callers=("SOMEONE",)):
        delivery = deliver(published)
    assert (delivery.status, delivery.attempts) == (DeliveryStatus.RETRYING, 1)
    assert "calling AE title 'SONOGATE' not recognized" in delivery.error
    with run_pacs(port=free_port, known_callers=("SONOGATE",)):
        assert deliver(published).status is DeliveryStatus.DELIVERED


def test_delivery_to_an_unreachable_pacs_is_given_up_in_the_end(published: Gateway) -> None:
    for _ in range(20):
        deliver(published)
    delivery = look(published)
    assert (delivery.status, delivery.attempts) == (DeliveryStatus.FAILED, 20)


def test_a_destination_receives_only_its_selection(published: Gateway, free_port: int) -> None:
    rewrite_routes(published, 'results = ["seg", "sr"]', 'results = ["sr"]')
    with run_pacs(port=free_port) as pacs:
        assert deliver(published).status is DeliveryStatus.DELIVERED
    assert classes(pacs.received) == [SR]


def test_a_second_run_of_a_delivery_sends_nothing(published: Gateway, free_port: int) -> None:
    with run_pacs(port=free_port) as pacs:
        deliver(published)
        with published.database.write() as session:
            job = published.job(JobKind.DELIVER)
            session.merge(job).status = JobStatus.QUEUED
        assert deliver(published).status is DeliveryStatus.DELIVERED
    assert len(pacs.received) == 2


def test_pending_deliveries_use_the_corrected_destination(
    published: Gateway, free_port: int
) -> None:
    assert deliver(published).status is DeliveryStatus.RETRYING
    with run_pacs() as pacs:
        rewrite_routes(published, f"port = {free_port}", f"port = {pacs.peer.port}")
        published.clock.skip(minutes=1)
        published.run_due()
    assert look(published).status is DeliveryStatus.DELIVERED


def test_nothing_is_sent_to_a_removed_destination(published: Gateway, free_port: int) -> None:
    rewrite_routes(published, 'name = "pacs"', 'name = "elsewhere"')
    rewrite_routes(published, 'destinations = ["pacs"]', 'destinations = ["elsewhere"]')
    with run_pacs(port=free_port) as pacs:
        delivery = deliver(published)
    assert pacs.received == []
    assert delivery.status is DeliveryStatus.RETRYING
    assert "no longer in the routes file" in delivery.error


def set_selection(gateway: Gateway, *results: str) -> None:
    """Change the results of the route's PACS in the routes file."""
    path = gateway.services.settings.effective_routes_file
    port = gateway.services.routes.current().destination[0].settings["port"]
    head, tail = path.read_text().split(f"port = {port}\n", 1)
    tail = tail.split("\n", 1)[1] if tail.startswith("results") else tail
    path.write_text(f"{head}port = {port}\nresults = {list(results)}\n{tail}")


def retry(gateway: Gateway) -> Delivery:
    """By the button on the problems page."""
    with gateway.database.write() as session:
        job_id = gateway.job(JobKind.DELIVER).id
        assert dead_letters.retry(session, job_id, actor="admin", now=gateway.clock())
    return deliver(gateway)


def reports(gateway: Gateway) -> dict[str, ReadReport]:
    """By selection."""
    with gateway.database.read() as session:
        return {
            shortest(selection): read_back_report(gateway.services.store.path(made.file))
            for made in session.scalars(select(ResultObject))
            if made.spec.startswith("sr")
            for selection in made.selections
        }


def test_a_new_selection_is_created_and_sent_instead_of_refused_objects(
    published: Gateway, free_port: int
) -> None:
    with run_pacs(port=free_port, classes=(*CLASSES, EnhancedSRStorage)) as pacs:
        pacs.status_for = lambda sop_class: 0xA900
        assert deliver(published).status is DeliveryStatus.FAILED
        set_selection(published, "seg:fractional", "sr:enhanced")
        pacs.status_for = lambda _: 0
        delivery = retry(published)
    assert delivery.status is DeliveryStatus.DELIVERED
    assert shortest(delivery.selection) == "seg:fractional sr:enhanced"
    assert classes(pacs.received) == [SEG, SR, SEG, str(EnhancedSRStorage)]
    with published.database.read() as session:
        sent = {
            shortest([row.result_object.spec])
            for row in session.scalars(select(DeliveredObject))
            if row.status_code == 0
        }
        [segmentation] = [
            made.sop_instance_uid
            for made in session.scalars(select(ResultObject))
            if made.spec == stored("seg:fractional")
        ]
    assert sent == {"seg:fractional", "sr:enhanced"}
    report = reports(published)["seg:fractional sr:enhanced"]
    assert {lesion.segmentation_uid for lesion in report.lesions} - {""} == {segmentation}


def test_a_report_that_names_refused_objects_gets_a_successor(
    published: Gateway, free_port: int
) -> None:
    """The PACS takes no segmentations, and its results are corrected after the first attempt."""
    with run_pacs(port=free_port) as pacs:
        pacs.status_for = lambda sop_class: 0x0122 if sop_class == SEG else 0
        assert deliver(published).status is DeliveryStatus.FAILED
        set_selection(published, "sr")
        assert retry(published).status is DeliveryStatus.DELIVERED
        assert classes(pacs.received) == [SEG, SR, SR]
    first, second = reports(published)["seg sr"], reports(published)["sr"]
    assert second.predecessor_uid == first.sop_instance_uid
    assert not any(lesion.segmentation_uid for lesion in second.lesions)
    assert published.tags()[-2:] == ["worker:analysis:published", "worker:delivery:delivered"]


def test_objects_shared_with_the_former_selection_are_not_sent_again(
    published: Gateway, free_port: int
) -> None:
    both = (*CLASSES, KeyObjectSelectionDocumentStorage)
    with run_pacs(port=free_port, classes=both) as pacs:
        pacs.status_for = lambda sop_class: 0xA900 if sop_class == SR else 0
        assert deliver(published).status is DeliveryStatus.FAILED
        pacs.status_for = lambda _: 0
        set_selection(published, "seg", "sr", "key-objects")
        assert retry(published).status is DeliveryStatus.DELIVERED
    assert classes(pacs.received)[2:] == [SR, str(KeyObjectSelectionDocumentStorage)]
    with published.database.read() as session:
        specs = sorted(shortest([made.spec]) for made in session.scalars(select(ResultObject)))
    assert specs == ["key-objects", "seg", "sr", "sr"]


def test_two_destinations_can_change_to_the_same_selection(
    published: Gateway, free_port: int
) -> None:
    """The second one finds its report made."""
    with published.database.write() as session:
        first = session.scalars(select(Delivery)).one()
        other = Destination(
            id=uuid4(), name="other", kind="dimse", settings={},
            results=first.selection, chosen={"results": ["seg", "sr"]},
        )  # fmt: skip
        session.add(other)
        session.flush()
        results.add_delivery(
            session, first.result_set, other, first.selection, "breast", published.clock()
        )
    path = published.services.settings.effective_routes_file
    with run_pacs(port=free_port) as pacs:
        set_selection(published, "sr")
        other_table = '[[destination]]\nname = "other"\nae_title = "PACS"\nhost = "127.0.0.1"\n'
        path.write_text(f'{path.read_text()}\n{other_table}port = {free_port}\nresults = ["sr"]\n')
        published.run_due()
    assert classes(pacs.received) == [SR, SR]
    assert pacs.received[0] == pacs.received[1]
    with published.database.read() as session:
        assert {each.status for each in session.scalars(select(Delivery))} == {
            DeliveryStatus.DELIVERED
        }
        assert len(session.scalars(select(ResultObject)).all()) == 3


def test_a_delivery_without_objects_is_not_reported_as_delivered(
    gateway: Gateway, tmp_path: Path, free_port: int
) -> None:
    gateway.receive(write_image(tmp_path / "a.dcm", draw_frame()))
    for kind in (JobKind.ANALYZE, JobKind.PUBLISH):
        gateway.runner.run(gateway.job(kind).id, kind)
    set_selection(gateway, "seg")
    with run_pacs(port=free_port) as pacs:
        delivery = deliver(gateway)
        assert pacs.received == []
        assert delivery.status is DeliveryStatus.FAILED
        assert delivery.error == (
            f"the destination now selects {stored('seg')}, and this result set has none of these; to"
            f" send what it has, add {stored('seg')} or {stored('sr')} to the destination's results"
        )
        set_selection(gateway, "sr")
        assert retry(gateway).status is DeliveryStatus.DELIVERED
    assert classes(pacs.received) == [SR]


def change_profile(monkeypatch: pytest.MonkeyPatch, name: str, *specs: str) -> None:
    """Change what a profile stands for, as another release does."""
    changed = replace(PROFILES[name], specs=tuple(map(parse_spec, specs)))
    monkeypatch.setattr(profiles, "PROFILES", {**PROFILES, name: changed})


@pytest.fixture
def published_by_profile(
    gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Gateway:
    """One SEG and one SR, due at the PACS, for which the routes file names the profile `ohif`."""
    change_profile(monkeypatch, "ohif", "seg:binary", "sr")
    rewrite_routes(gateway, 'results = ["seg", "sr"]', 'profile = "ohif"')
    gateway.receive(write_image(tmp_path / "a.dcm", draw_frame((100, 80, 20))))
    for kind in (JobKind.ANALYZE, JobKind.PUBLISH):
        gateway.runner.run(gateway.job(kind).id, kind)
    return gateway


def test_a_delivery_keeps_its_selection_when_a_release_changes_the_profile(
    published_by_profile: Gateway, monkeypatch: pytest.MonkeyPatch, free_port: int
) -> None:
    gateway = published_by_profile
    assert deliver(gateway).status is DeliveryStatus.RETRYING
    change_profile(monkeypatch, "ohif", "seg:fractional", "sr:enhanced", "heatmap-sc")
    with run_pacs(port=free_port) as pacs:
        delivery = deliver(gateway)
    assert delivery.status is DeliveryStatus.DELIVERED
    assert delivery.selection == ["seg:binary", SR_SPEC]
    assert classes(pacs.received) == [SEG, SR]
    with gateway.database.read() as session:
        row = session.scalars(select(Destination).where(Destination.name == "pacs")).one()
        assert row.results == ["seg:fractional", "sr:enhanced", "heatmap-sc:native"]


def test_a_signed_delivery_keeps_kinds_that_a_release_takes_from_the_profile(
    published_by_profile: Gateway, monkeypatch: pytest.MonkeyPatch, free_port: int
) -> None:
    of_a_signed_review(published_by_profile)
    change_profile(monkeypatch, "ohif", "sr")
    with run_pacs(port=free_port) as pacs:
        assert deliver(published_by_profile).status is DeliveryStatus.DELIVERED
    assert classes(pacs.received) == [SEG, SR]


def test_a_delivery_follows_the_administrator_even_after_a_release_changed_the_profile(
    published_by_profile: Gateway, monkeypatch: pytest.MonkeyPatch, free_port: int
) -> None:
    gateway = published_by_profile
    change_profile(monkeypatch, "ohif", "sr:enhanced")
    assert deliver(gateway).selection == ["seg:binary", SR_SPEC]
    rewrite_routes(gateway, 'profile = "ohif"', 'results = ["sr"]')
    with run_pacs(port=free_port) as pacs:
        delivery = deliver(gateway)
    assert (delivery.status, delivery.selection) == (DeliveryStatus.DELIVERED, [SR_SPEC])
    assert classes(pacs.received) == [SR]


def of_a_signed_review(gateway: Gateway) -> None:
    """Make the delivery one of a review's objects."""
    with gateway.database.write() as session:
        reader = User(
            username="roentgen", display_name="W. Röntgen", dicom_name="Röntgen^Wilhelm",
            organization="Klinik", role=Role.RADIOLOGIST, password_hash="-",
            created_at=gateway.clock(),
        )  # fmt: skip
        session.add(reader)
        session.flush()
        result_set = session.scalars(select(ResultSet)).one()
        review = Review(
            id=uuid4(), analysis_id=result_set.analysis_id, reader_id=reader.id,
            decision=Decision.ACCEPT, created_at=gateway.clock(),
        )  # fmt: skip
        session.add(review)
        session.flush()
        result_set.review_id = review.id


def test_signed_objects_that_are_no_longer_selected_are_withdrawn_and_reported(
    published: Gateway, free_port: int
) -> None:
    of_a_signed_review(published)
    set_selection(published, "sr")
    with run_pacs(port=free_port) as pacs:
        assert deliver(published).status is DeliveryStatus.DELIVERED
    assert classes(pacs.received) == [SR]
    with published.database.read() as session:
        told = session.scalars(
            select(AuditEvent.details).where(AuditEvent.tag == "worker:delivery:delivered")
        ).one()
    assert json.loads(told)["withdrawn"] == [stored("seg")]


def test_a_signed_result_set_that_is_no_longer_selected_is_a_dead_letter(
    published: Gateway, free_port: int
) -> None:
    of_a_signed_review(published)
    set_selection(published, "key-objects")
    with run_pacs(port=free_port) as pacs:
        delivery = deliver(published)
        assert pacs.received == []
    assert delivery.status is DeliveryStatus.FAILED
    assert delivery.error.startswith("the destination now selects key-objects:of-interest,")


def test_rejected_presentation_contexts_are_retried(published: Gateway, free_port: int) -> None:
    with run_pacs(port=free_port, classes=()):
        delivery = deliver(published)
    assert (delivery.status, delivery.attempts) == (DeliveryStatus.RETRYING, 1)
    with run_pacs(port=free_port):
        assert deliver(published).status is DeliveryStatus.DELIVERED
