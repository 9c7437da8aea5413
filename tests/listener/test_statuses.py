"""Errors and their statuses."""

import errno

import pytest
from pynetdicom.status import STORAGE_SERVICE_CLASS_STATUS
from sqlalchemy.exc import OperationalError

from db.errors import BacklogTooLong, StoreFull
from dicom.errors import InvalidHeader, LimitExceeded, NotDicom, TruncatedFile
from listener.errors import IdentityMismatch, NotAuthorized
from listener.statuses import DimseStatus, build_store_failure


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (StoreFull(1, 2), 0xA700, "disk-full"),
        (BacklogTooLong(3, 2), 0xA700, "backlog-too-long"),
        (OSError(errno.ENOSPC, "No space left on device"), 0xA700, "disk-failed"),
        (OperationalError("", {}, Exception()), 0xA701, "database-down"),
        (IdentityMismatch("SOPInstanceUID"), 0xA900, "identity-mismatch"),
        (InvalidHeader("StudyInstanceUID", "missing"), 0xA900, "invalid-header"),
        (InvalidHeader("structure", "damaged"), 0xC000, "invalid-header"),
        (NotDicom(), 0xC000, "not-dicom"),
        (TruncatedFile(), 0xC000, "truncated-file"),
        (LimitExceeded("data elements", 100), 0xC000, "limit-exceeded"),
        (NotAuthorized(), 0x0124, "not-authorized"),
        (KeyError("a programming error"), 0x0110, "unexpected"),
    ],
)
def test_each_error_has_its_status(error: Exception, status: int, code: str) -> None:
    response = build_store_failure(error)
    assert (response.status, response.code) == (status, code)


def test_every_status_is_one_of_the_storage_service() -> None:
    assert set(DimseStatus) <= set(STORAGE_SERVICE_CLASS_STATUS)


def test_an_unexpected_failure_does_not_quote_the_error() -> None:
    assert "Doe" not in build_store_failure(ValueError("Doe^Jane")).comment
