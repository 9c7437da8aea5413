"""What counts as passed, and how a retrieved object is compared."""

from dataclasses import replace
from pathlib import Path

import pytest

from dicom.commitment import CommitmentReport
from sonogate.destination_test.round_trip import (
    Retrieval,
    RoundTrip,
    compare_retrieved,
    find_commitment_failure,
)
from tests.sonogate import pictures

STORED = RoundTrip("sr")


@pytest.mark.parametrize(
    ("round_trip", "passed"),
    [
        (STORED, True),
        (replace(STORED, found=True, retrieval=Retrieval.IDENTICAL, committed=True), True),
        (replace(STORED, warning_status=0xB000), True),
        (replace(STORED, problem="refused"), False),
        (replace(STORED, found=False), False),
        (replace(STORED, retrieval=Retrieval.DIFFERENT), False),
        (replace(STORED, retrieval=Retrieval.MISSING), False),
        (replace(STORED, committed=False), False),
        (replace(STORED, failures=("C-FIND ended with status 0xA900",)), False),
    ],
)
def test_an_object_passes_unless_a_service_shows_a_problem(
    round_trip: RoundTrip, passed: bool
) -> None:
    assert round_trip.passed is passed


@pytest.mark.parametrize(
    ("round_trip", "failure"),
    [
        (replace(STORED, found=True, retrieval=Retrieval.IDENTICAL, committed=True), ""),
        (replace(STORED, problem="refused"), "not stored: refused"),
        (
            replace(STORED, found=False, retrieval=Retrieval.MISSING),
            "not found, NOT retrieved",
        ),
        (
            replace(STORED, committed=False, commitment_failure="no such object"),
            "not committed: no such object",
        ),
        (replace(STORED, failures=("C-FIND failed",)), "C-FIND failed"),
    ],
)
def test_the_reason_why_an_object_did_not_pass(round_trip: RoundTrip, failure: str) -> None:
    assert round_trip.failure == failure
    assert round_trip.passed is (not failure)


def test_an_object_that_was_not_asked_for_is_not_compared(tmp_path: Path) -> None:
    assert compare_retrieved(pictures.still(tmp_path / "a.dcm"), None) == (None, [])


@pytest.mark.parametrize(
    ("report", "failure"),
    [
        (None, ""),
        (CommitmentReport("1", frozenset({"1.2"}), {}), ""),
        (CommitmentReport("1", frozenset(), {}), "the report does not list the object"),
        (CommitmentReport("1", frozenset(), {"1.2": 0x7777}), "failure reason 0x7777"),
    ],
)
def test_the_reason_why_an_object_is_not_committed(
    report: CommitmentReport | None, failure: str
) -> None:
    assert find_commitment_failure(report, "1.2") == failure
