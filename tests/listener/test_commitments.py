"""A PACS tells the listener what it keeps, by associations of its own."""

from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, build_role
from pynetdicom.association import Association
from pynetdicom.presentation import build_context

from db import commitments
from db.engine import Database
from db.schema import Commitment
from db.types import now_utc
from dicom.commitment import build_commitment_request
from listener.contexts import STORAGE_COMMITMENT
from listener.statuses import Status
from tests.listener import making, sending
from tests.listener.conftest import Door, Opener

WELL_KNOWN = "1.2.840.10008.1.20.1.1"
TRANSACTION = "2.25.77"
KEPT, LOST = "1.2.4", "1.2.5"


def ask(door: Door) -> None:
    with door.database.write() as session:
        commitments.record_request(session, TRANSACTION, "archive", {KEPT, LOST}, now=now_utc())


def row(door: Door) -> Commitment:
    with door.database.read() as session:
        found = commitments.find_request(session, TRANSACTION)
        assert found is not None
        return found


def report(transaction: str = TRANSACTION) -> Dataset:
    sop_class = "1.2.840.10008.5.1.4.1.1.66.4"
    information = build_commitment_request(transaction, [(sop_class, KEPT)])
    (failed,) = build_commitment_request(transaction, [(sop_class, LOST)]).ReferencedSOPSequence
    failed.FailureReason = 0x0112
    information.FailedSOPSequence = [failed]
    return information


def associated(port: int, *, roles: bool = True, ae_title: str = "PACS") -> Association:
    entity = AE(ae_title)
    entity.acse_timeout = entity.dimse_timeout = 20
    context = build_context(STORAGE_COMMITMENT)
    if not roles:
        return entity.associate("127.0.0.1", port, contexts=[context])
    role = build_role(STORAGE_COMMITMENT, scp_role=True)
    return entity.associate("127.0.0.1", port, contexts=[context], ext_neg=[role])


def told(port: int, information: Dataset, *, event_type: int = 2, roles: bool = True) -> int:
    """The status that the listener answers."""
    association = associated(port, roles=roles)
    assert association.is_established
    status, _ = association.send_n_event_report(
        information, event_type, STORAGE_COMMITMENT, WELL_KNOWN
    )
    association.release()
    code: int = status.Status
    return code


@pytest.mark.parametrize("roles", [True, False], ids=["with-roles", "without-roles"])
def test_what_a_pacs_keeps_and_what_it_does_not_is_written_down(door: Door, roles: bool) -> None:
    ask(door)
    assert told(door.port, report(), roles=roles) == Status.SUCCESS
    assert (row(door).committed, row(door).failure_reasons) == ([KEPT], {LOST: 0x0112})
    (event,) = door.events("listener:commitment:answered")
    assert event["calling_ae"] == "PACS"


def test_a_transaction_that_nobody_asked_with_is_refused(door: Door) -> None:
    ask(door)
    assert told(door.port, report("2.25.78")) == Status.INVALID_ARGUMENT
    assert row(door).answered_at is None
    door.wait_for_counts({"report-refused:unknown-transaction": 1})


def test_a_report_without_a_transaction_is_refused(door: Door) -> None:
    information = report()
    del information.TransactionUID
    assert told(door.port, information) == Status.INVALID_ARGUMENT
    door.wait_for_counts({"report-refused:invalid-header": 1})


def test_another_event_is_refused(door: Door) -> None:
    ask(door)
    assert told(door.port, report(), event_type=7) == Status.NO_SUCH_EVENT_TYPE
    assert row(door).answered_at is None


def test_a_database_that_is_down_is_no_success(door: Door) -> None:
    ask(door)
    with door.database.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE commitment RENAME TO elsewhere")
    assert told(door.port, report()) == Status.PROCESSING_FAILURE


def test_a_modality_that_asks_us_to_commit_ourselves_is_told_no(door: Door) -> None:
    association = associated(door.port, roles=False, ae_title=sending.CALLER)
    assert association.is_established
    status, _ = association.send_n_action(report(), 1, STORAGE_COMMITMENT, WELL_KNOWN)
    association.release()
    assert status.Status == Status.SOP_CLASS_NOT_SUPPORTED


def test_a_destination_may_report_and_may_not_store(
    open_door: Opener, sqlite_database: Database, tmp_path: Path
) -> None:
    (tmp_path / "routes.toml").write_text(
        '[[source]]\nae_title = "ELSEWHERE"\n\n[[destination]]\nname = "archive"\n'
        'ae_title = "PACS"\nhost = "127.0.0.1"\nport = 104\n'
    )
    door = open_door(sqlite_database)
    ask(door)
    assert told(door.port, report()) == Status.SUCCESS
    assert sending.send(door.port, making.image(), ae_title="PACS") == [Status.NOT_AUTHORIZED]
    assert not associated(door.port, ae_title="STRANGER").is_established
