from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlalchemy import select

from db import dead_letters
from db.schema import (
    DeliveredObject,
    Delivery,
    DeliveryStatus,
    JobKind,
    JobStatus,
    ResultObject,
)
from tests.workers.hospital import Hospital
from tests.workers.pacs import CLASSES, pacs
from tests.workers.painted import picture, write

SR, SEG = CLASSES[:2]


@pytest.fixture
def published(hospital: Hospital, tmp_path: Path) -> Hospital:
    """One SEG and one SR, due at the PACS."""
    hospital.receive(write(tmp_path / "a.dcm", picture((100, 80, 20))))
    for kind in (JobKind.ANALYSE, JobKind.PUBLISH):
        hospital.runner.run(hospital.job(kind).id, kind)
    return hospital


def deliver(hospital: Hospital) -> Delivery:
    hospital.runner.run(hospital.job(JobKind.DELIVER).id, JobKind.DELIVER)
    return look(hospital)


def look(hospital: Hospital) -> Delivery:
    with hospital.database.read() as session:
        return session.scalars(select(Delivery)).one()


def answers(hospital: Hospital) -> dict[str, int]:
    with hospital.database.read() as session:
        return {
            row.result_object.kind: row.status_code
            for row in session.scalars(select(DeliveredObject))
        }


def classes(asked: Sequence[tuple[str, str]]) -> list[str]:
    return [sop_class for sop_class, _ in asked]


def rewrite_routes(hospital: Hospital, old: str, new: str) -> None:
    path = hospital.services.settings.effective_routes_file
    path.write_text(path.read_text().replace(old, new, 1))


def test_every_object_is_sent_and_its_answer_kept(published: Hospital, free_port: int) -> None:
    with pacs(port=free_port) as there:
        delivery = deliver(published)
    assert (delivery.status, delivery.attempts) == (DeliveryStatus.DELIVERED, 1)
    assert (delivery.error, delivery.delivered_at) == ("", published.clock())
    assert answers(published) == {"seg": 0, "sr": 0}
    assert classes(there.asked) == [SEG, SR]
    assert there.associations == 1
    assert published.tags()[-1] == "worker:delivery:delivered"


def test_what_the_pacs_has_is_what_the_row_says(published: Hospital, free_port: int) -> None:
    with pacs(port=free_port) as there:
        deliver(published)
    with published.database.read() as session:
        for made in session.scalars(select(ResultObject)):
            content = published.services.store.path(made.file).read_bytes()
            assert content.endswith(there.kept[made.sop_instance_uid])


def test_a_warning_is_acceptance(published: Hospital, free_port: int) -> None:
    with pacs(port=free_port) as there:
        there.answer = lambda _: 0xB007
        delivery = deliver(published)
    assert delivery.status is DeliveryStatus.DELIVERED
    assert set(answers(published).values()) == {0xB007}


def test_an_absent_pacs_is_tried_again_and_that_is_told_once(
    published: Hospital, free_port: int
) -> None:
    for attempt in (1, 2, 3):
        delivery = deliver(published)
        assert (delivery.status, delivery.attempts) == (DeliveryStatus.RETRYING, attempt)
    assert "nothing answers" in delivery.error
    assert published.job(JobKind.DELIVER).status is JobStatus.QUEUED
    assert published.tags().count("worker:delivery:retrying") == 1
    with pacs(port=free_port):
        delivery = deliver(published)
    assert (delivery.status, delivery.error) == (DeliveryStatus.DELIVERED, "")


def test_a_retry_sends_only_what_was_not_accepted(published: Hospital, free_port: int) -> None:
    with pacs(port=free_port) as there:
        there.answer = lambda sop_class: 0xA700 if sop_class == SR else 0
        delivery = deliver(published)
        assert delivery.status is DeliveryStatus.RETRYING
        assert "1 of 2 objects not taken" in delivery.error
        assert "0xA700" in delivery.error
        assert answers(published) == {"seg": 0, "sr": 0xA700}
        there.answer = lambda _: 0
        delivery = deliver(published)
    assert delivery.status is DeliveryStatus.DELIVERED
    assert classes(there.asked) == [SEG, SR, SR]
    assert answers(published) == {"seg": 0, "sr": 0}


def test_an_object_that_is_refused_for_good_goes_to_the_dead_letter(
    published: Hospital, free_port: int
) -> None:
    with pacs(port=free_port) as there:
        there.answer = lambda sop_class: 0xA900 if sop_class == SEG else 0
        delivery = deliver(published)
        assert delivery.status is DeliveryStatus.FAILED
        assert answers(published) == {"seg": 0xA900, "sr": 0}
        assert published.job(JobKind.DELIVER).status is JobStatus.DEAD
        assert published.tags()[-1] == "worker:delivery:failed"

        there.answer = lambda _: 0
        with published.database.write() as session:
            job_id = published.job(JobKind.DELIVER).id
            dead_letters.retry(session, job_id, actor="admin", now=published.clock())
        assert deliver(published).status is DeliveryStatus.DELIVERED
    assert classes(there.asked) == [SEG, SR, SEG]


def test_what_waits_is_sent_once_the_pacs_has_registered_us(
    published: Hospital, free_port: int
) -> None:
    with pacs(port=free_port, known_callers=("SOMEONE",)):
        delivery = deliver(published)
    assert (delivery.status, delivery.attempts) == (DeliveryStatus.RETRYING, 1)
    assert "does not know our AE title 'SONOGATE'" in delivery.error
    with pacs(port=free_port, known_callers=("SONOGATE",)):
        assert deliver(published).status is DeliveryStatus.DELIVERED


def test_an_absent_pacs_is_given_up_in_the_end(published: Hospital) -> None:
    for _ in range(20):
        deliver(published)
    delivery = look(published)
    assert (delivery.status, delivery.attempts) == (DeliveryStatus.FAILED, 20)


def test_a_destination_gets_only_the_kinds_that_it_wants(
    published: Hospital, free_port: int
) -> None:
    rewrite_routes(published, f"port = {free_port}", f'port = {free_port}\nresults = ["sr"]')
    with pacs(port=free_port) as there:
        assert deliver(published).status is DeliveryStatus.DELIVERED
    assert classes(there.asked) == [SR]


def test_a_second_run_after_a_delivery_sends_nothing(published: Hospital, free_port: int) -> None:
    with pacs(port=free_port) as there:
        deliver(published)
        with published.database.write() as session:
            job = published.job(JobKind.DELIVER)
            session.merge(job).status = JobStatus.QUEUED
        assert deliver(published).status is DeliveryStatus.DELIVERED
    assert len(there.asked) == 2


def test_a_corrected_destination_holds_for_deliveries_that_wait(
    published: Hospital, free_port: int
) -> None:
    assert deliver(published).status is DeliveryStatus.RETRYING
    with pacs() as there:
        rewrite_routes(published, f"port = {free_port}", f"port = {there.peer.port}")
        published.clock.skip(minutes=1)
        published.run_due()
    assert look(published).status is DeliveryStatus.DELIVERED


def test_nothing_goes_to_a_destination_that_was_struck_off(
    published: Hospital, free_port: int
) -> None:
    rewrite_routes(published, 'name = "pacs"', 'name = "elsewhere"')
    rewrite_routes(published, 'destinations = ["pacs"]', 'destinations = ["elsewhere"]')
    with pacs(port=free_port) as there:
        delivery = deliver(published)
    assert there.asked == []
    assert delivery.status is DeliveryStatus.RETRYING
    assert "no longer in the routes file" in delivery.error
