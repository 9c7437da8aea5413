"""`run_destination_test` against an archive whose faults can be chosen."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # made at run time
    StorageCommitmentPushModel,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
)
from sqlalchemy import select

from db import commitments
from db.engine import Database
from db.schema import AuditEvent, Commitment
from dicom.commitment import build_commitment_request
from dicom.results.catalogue import parse_spec
from sonogate.destination_test.commitment_requests import CommitmentRequests
from sonogate.destination_test.objects import SampleObject, list_images, write_results
from sonogate.destination_test.phantom_study import make_result, make_review
from sonogate.destination_test.round_trip import SAME_VALUES, Retrieval
from sonogate.destination_test.run import DestinationTestResult, Timeouts, run_destination_test
from tests.workers.archive import Archive, run_archive
from tests.workers.pacs import CLASSES
from workers.destinations.dimse.client import DimseClient

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
SERVICES = (
    StorageCommitmentPushModel,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
)


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[SampleObject]:
    folder = tmp_path_factory.mktemp("samples")
    result = make_result(folder, run="1", now=NOW)
    selection = (parse_spec("seg"), parse_spec("sr"))
    return [*list_images(result), *write_results(result, make_review(result), selection, folder)]


def run_test(
    archive: Archive,
    samples: list[SampleObject],
    database: Database,
    *services: str,
    find_seconds: float = 0,
    commit_seconds: float = 0,
) -> DestinationTestResult:
    archive.sop_classes = CLASSES
    timeouts = Timeouts(find_seconds, commit_seconds)
    with run_archive(archive, *services) as requestor:
        requests = CommitmentRequests(database, "there")
        return run_destination_test(samples, DimseClient(requestor), requests, timeouts)


def events(database: Database) -> list[tuple[str, dict[str, Any]]]:
    with database.read() as session:
        rows = session.scalars(select(AuditEvent).order_by(AuditEvent.seq))
        return [(row.tag, json.loads(row.details)) for row in rows]


def test_every_object_passes_at_an_archive_without_faults(
    samples: list[SampleObject], sqlite_database: Database
) -> None:
    archive = Archive(reports_at_once=True)
    done = run_test(archive, samples, sqlite_database, *SERVICES, commit_seconds=10)
    assert [trip.spec for trip in done.round_trips] == [
        *("image", "image", "seg", "seg", "sr"),
        *("signed/seg", "signed/sr"),
    ]
    for trip in done.round_trips:
        assert (trip.found, trip.retrieval, trip.committed) == (True, Retrieval.IDENTICAL, True)
        assert trip.passed
    assert set(done.services.values()) == {"offered"}


def test_attributes_that_the_archive_changed_are_listed(
    samples: list[SampleObject], sqlite_database: Database
) -> None:
    def coerce(dataset: Dataset) -> None:
        dataset.PatientName = "SONOGATE^TEST"
        dataset.IssuerOfPatientID = "Klinik"

    archive = Archive(coerce=coerce, store_status=0xB000)
    done = run_test(archive, samples, sqlite_database, *SERVICES)
    for trip in done.round_trips:
        assert trip.retrieval is Retrieval.DIFFERENT
        assert "PatientName: 'Sonogate^Test' became 'SONOGATE^TEST'" in trip.differences
        assert "IssuerOfPatientID: added, 'Klinik'" in trip.differences
        assert len(trip.differences) == 2
        assert trip.warning_status == 0xB000
    assert not any(trip.passed for trip in done.round_trips)


def test_a_different_encoding_of_equal_values_is_reported(
    samples: list[SampleObject], sqlite_database: Database
) -> None:
    def coerce(dataset: Dataset) -> None:
        for element in dataset:
            if element.VR == "SQ":
                element.is_undefined_length = True

    done = run_test(Archive(coerce=coerce), samples[2:3], sqlite_database, *SERVICES)
    (trip,) = done.round_trips
    assert (trip.retrieval, trip.differences) == (Retrieval.DIFFERENT, (SAME_VALUES,))


def test_a_failed_query_is_reported_and_counts_as_no_answer(
    samples: list[SampleObject], sqlite_database: Database
) -> None:
    archive = Archive(find_status=0xA900, finds_from=99, get_status=0xA702)
    done = run_test(archive, samples[:2], sqlite_database, *SERVICES, find_seconds=20)
    for trip in done.round_trips:
        assert (trip.found, trip.retrieval) == (None, None)
        found, brought = trip.failures
        assert found.startswith("C-FIND failed with status 0xA900")
        assert brought.startswith("C-GET failed with status 0xA702")
    assert not any(trip.passed for trip in done.round_trips)
    assert done.services["C-FIND"] == "offered, but FAILED for 2 of 2 objects"
    assert done.services["C-GET"] == "offered, but FAILED for 2 of 2 objects"


def test_c_find_is_repeated_until_the_archive_has_indexed(
    samples: list[SampleObject], sqlite_database: Database
) -> None:
    done = run_test(Archive(finds_from=2), samples[:1], sqlite_database, *SERVICES, find_seconds=20)
    assert [trip.found for trip in done.round_trips] == [True]


def test_no_request_is_stored_where_commitment_is_not_offered(
    samples: list[SampleObject], sqlite_database: Database
) -> None:
    done = run_test(Archive(), samples[:1], sqlite_database)
    assert done.services["storage commitment"] == "not offered"
    assert events(sqlite_database) == []
    with sqlite_database.read() as session:
        assert session.scalars(select(Commitment)).all() == []


def test_a_refused_request_is_closed(
    samples: list[SampleObject], sqlite_database: Database
) -> None:
    done = run_test(Archive(commitment=0x0213), samples[:1], sqlite_database, *SERVICES)
    assert done.services["storage commitment"] == "refused with status 0x0213"
    (asked, _), (ended, details) = events(sqlite_database)
    assert (asked, ended) == ("sonogate:commitment:asked", "sonogate:commitment:ended")
    assert details["reason"] == "refused with status 0x0213"


def test_a_report_on_an_earlier_request_is_stored_in_its_own_row(
    samples: list[SampleObject], sqlite_database: Database
) -> None:
    with sqlite_database.write() as session:
        commitments.record_request(session, "2.25.4", "there", {"1.2.4"}, now=NOW)
    older = build_commitment_request("2.25.4", [("1.2.3", "1.2.4")])
    archive = Archive(reports_at_once=True, other_reports=((1, older),))
    done = run_test(archive, samples[:1], sqlite_database, *SERVICES, commit_seconds=10)
    assert [trip.committed for trip in done.round_trips] == [True]
    assert archive.report_statuses == [0x0000, 0x0000]
    with sqlite_database.read() as session:
        row = commitments.find_request(session, "2.25.4")
        assert row is not None
        assert row.committed == ["1.2.4"]
