"""Storage commitment reports on associations that the PACS opens."""

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
from listener.statuses import DimseStatus
from tests.listener import images, sending
from tests.listener.conftest import RunningListener, StartListener

WELL_KNOWN = "1.2.840.10008.1.20.1.1"
TRANSACTION = "2.25.77"
COMMITTED, FAILED = "1.2.4", "1.2.5"


def record_request(listener: RunningListener) -> None:
    with listener.database.write() as session:
        commitments.record_request(
            session, TRANSACTION, "archive", {COMMITTED, FAILED}, now=now_utc()
        )


def load_request(listener: RunningListener) -> Commitment:
    with listener.database.read() as session:
        row = commitments.find_request(session, TRANSACTION)
        assert row is not None
        return row


def build_report(transaction: str = TRANSACTION) -> Dataset:
    sop_class = "1.2.840.10008.5.1.4.1.1.66.4"
    information = build_commitment_request(transaction, [(sop_class, COMMITTED)])
    (failed,) = build_commitment_request(transaction, [(sop_class, FAILED)]).ReferencedSOPSequence
    failed.FailureReason = 0x0112
    information.FailedSOPSequence = [failed]
    return information


def associate(port: int, *, roles: bool = True, ae_title: str = "PACS") -> Association:
    entity = AE(ae_title)
    entity.acse_timeout = entity.dimse_timeout = 20
    context = build_context(STORAGE_COMMITMENT)
    if not roles:
        return entity.associate("127.0.0.1", port, contexts=[context])
    role = build_role(STORAGE_COMMITMENT, scp_role=True)
    return entity.associate("127.0.0.1", port, contexts=[context], ext_neg=[role])


def send_report(port: int, information: Dataset, *, event_type: int = 2, roles: bool = True) -> int:
    """Send a report and return the status of the response."""
    association = associate(port, roles=roles)
    assert association.is_established
    status, _ = association.send_n_event_report(
        information, event_type, STORAGE_COMMITMENT, WELL_KNOWN
    )
    association.release()
    code: int = status.Status
    return code


@pytest.mark.parametrize("roles", [True, False], ids=["with-roles", "without-roles"])
def test_committed_and_failed_objects_are_recorded(listener: RunningListener, roles: bool) -> None:
    record_request(listener)
    assert send_report(listener.port, build_report(), roles=roles) == DimseStatus.SUCCESS
    assert (load_request(listener).committed, load_request(listener).failure_reasons) == (
        [COMMITTED],
        {FAILED: 0x0112},
    )
    (event,) = listener.events("listener:commitment:answered")
    assert event["calling_ae"] == "PACS"


def test_an_unknown_transaction_is_refused(listener: RunningListener) -> None:
    record_request(listener)
    assert send_report(listener.port, build_report("2.25.78")) == DimseStatus.INVALID_ARGUMENT
    assert load_request(listener).answered_at is None
    listener.wait_for_counts({"report-refused:unknown-transaction": 1})


def test_a_report_without_a_transaction_is_refused(listener: RunningListener) -> None:
    information = build_report()
    del information.TransactionUID
    assert send_report(listener.port, information) == DimseStatus.INVALID_ARGUMENT
    listener.wait_for_counts({"report-refused:invalid-header": 1})


def test_an_unknown_event_type_is_refused(listener: RunningListener) -> None:
    record_request(listener)
    assert (
        send_report(listener.port, build_report(), event_type=7) == DimseStatus.NO_SUCH_EVENT_TYPE
    )
    assert load_request(listener).answered_at is None


def test_no_success_while_the_database_is_down(listener: RunningListener) -> None:
    record_request(listener)
    with listener.database.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE commitment RENAME TO elsewhere")
    assert send_report(listener.port, build_report()) == DimseStatus.PROCESSING_FAILURE


def test_a_storage_commitment_request_is_refused(listener: RunningListener) -> None:
    association = associate(listener.port, roles=False, ae_title=sending.CALLER)
    assert association.is_established
    status, _ = association.send_n_action(build_report(), 1, STORAGE_COMMITMENT, WELL_KNOWN)
    association.release()
    assert status.Status == DimseStatus.SOP_CLASS_NOT_SUPPORTED


def test_a_destination_may_report_but_not_store(
    start_listener: StartListener, sqlite_database: Database, tmp_path: Path
) -> None:
    (tmp_path / "routes.toml").write_text(
        '[[source]]\nae_title = "ELSEWHERE"\n\n[[destination]]\nname = "archive"\n'
        'ae_title = "PACS"\nhost = "127.0.0.1"\nport = 104\n'
    )
    listener = start_listener(sqlite_database)
    record_request(listener)
    assert send_report(listener.port, build_report()) == DimseStatus.SUCCESS
    assert sending.send(listener.port, images.image(), ae_title="PACS") == [
        DimseStatus.NOT_AUTHORIZED
    ]
    assert not associate(listener.port, ae_title="STRANGER").is_established
