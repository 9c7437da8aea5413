"""A destination is tried out at an archive that can be told what to do badly."""

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
from sonogate.destination_test.commitment import Ledger
from sonogate.destination_test.objects import Piece, make_images, make_results
from sonogate.destination_test.phantom_study import make_result, make_review
from sonogate.destination_test.run import OTHERWISE, Back, Patience, Rehearsal, rehearse
from tests.workers.archive import Archive, served
from tests.workers.pacs import CLASSES

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
SERVICES = (
    StorageCommitmentPushModel,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
)


@pytest.fixture(scope="module")
def pieces(tmp_path_factory: pytest.TempPathFactory) -> list[Piece]:
    folder = tmp_path_factory.mktemp("pieces")
    result = make_result(folder, run="1", now=NOW)
    selection = (parse_spec("seg"), parse_spec("sr"))
    return [*make_images(result), *make_results(result, make_review(result), selection, folder)]


def rehearsed(
    archive: Archive,
    pieces: list[Piece],
    database: Database,
    *services: str,
    find_seconds: float = 0,
    commit_seconds: float = 0,
) -> Rehearsal:
    archive.sends = CLASSES
    patience = Patience(5, 5, find_seconds, commit_seconds)
    with served(archive, *services) as call:
        ledger = Ledger(database, "there", call.peer)
        return rehearse(pieces, call.peer, ledger, calling_ae="SONOGATE", patience=patience)


def events(database: Database) -> list[tuple[str, dict[str, Any]]]:
    with database.read() as session:
        rows = session.scalars(select(AuditEvent).order_by(AuditEvent.seq))
        return [(row.tag, json.loads(row.details)) for row in rows]


def test_images_results_and_what_a_signed_review_adds_survive_at_a_good_archive(
    pieces: list[Piece], sqlite_database: Database
) -> None:
    archive = Archive(reports_at_once=True)
    done = rehearsed(archive, pieces, sqlite_database, *SERVICES, commit_seconds=10)
    assert [fate.spec for fate in done.fates] == [
        *("image", "image", "seg", "seg", "sr"),
        *("signed/seg", "signed/sr"),
    ]
    for fate in done.fates:
        assert (fate.found, fate.back, fate.committed) == (True, Back.SAME, True)
        assert fate.survived
    assert set(done.services.values()) == {"offered"}


def test_an_archive_that_changes_what_it_takes_is_told_what_it_changed(
    pieces: list[Piece], sqlite_database: Database
) -> None:
    def coerce(dataset: Dataset) -> None:
        dataset.PatientName = "SONOGATE^TEST"
        dataset.IssuerOfPatientID = "Klinik"

    archive = Archive(coerce=coerce, store_status=0xB000)
    done = rehearsed(archive, pieces, sqlite_database, *SERVICES)
    for fate in done.fates:
        assert fate.back is Back.OTHER
        assert "PatientName: 'Sonogate^Test' became 'SONOGATE^TEST'" in fate.changes
        assert "IssuerOfPatientID: added, 'Klinik'" in fate.changes
        assert len(fate.changes) == 2
        assert fate.warning == 0xB000
    assert done.survivors == 0


def test_other_bytes_that_say_the_same_are_told_so(
    pieces: list[Piece], sqlite_database: Database
) -> None:
    def coerce(dataset: Dataset) -> None:
        for element in dataset:
            if element.VR == "SQ":
                element.is_undefined_length = True

    done = rehearsed(Archive(coerce=coerce), pieces[2:3], sqlite_database, *SERVICES)
    (fate,) = done.fates
    assert (fate.back, fate.changes) == (Back.OTHER, (OTHERWISE,))


def test_a_query_that_fails_is_told_and_is_no_answer(
    pieces: list[Piece], sqlite_database: Database
) -> None:
    archive = Archive(find_status=0xA900, finds_from=99, get_status=0xA702)
    done = rehearsed(archive, pieces[:2], sqlite_database, *SERVICES, find_seconds=20)
    for fate in done.fates:
        assert (fate.found, fate.back) == (None, None)
        found, brought = fate.failures
        assert found.startswith("C-FIND ended with status 0xA900")
        assert brought.startswith("C-GET ended with status 0xA702")
    assert done.survivors == 0
    assert done.services["C-FIND"] == "offered, but FAILED for 2 of 2 objects"
    assert done.services["C-GET"] == "offered, but FAILED for 2 of 2 objects"


def test_an_archive_that_indexes_late_is_waited_for(
    pieces: list[Piece], sqlite_database: Database
) -> None:
    done = rehearsed(Archive(finds_from=2), pieces[:1], sqlite_database, *SERVICES, find_seconds=20)
    assert [fate.found for fate in done.fates] == [True]


def test_nothing_is_written_down_as_asked_where_commitment_is_not_offered(
    pieces: list[Piece], sqlite_database: Database
) -> None:
    done = rehearsed(Archive(), pieces[:1], sqlite_database)
    assert done.services["storage commitment"] == "not offered"
    assert events(sqlite_database) == []
    with sqlite_database.read() as session:
        assert session.scalars(select(Commitment)).all() == []


def test_a_request_that_is_refused_is_closed(
    pieces: list[Piece], sqlite_database: Database
) -> None:
    done = rehearsed(Archive(commitment=0x0213), pieces[:1], sqlite_database, *SERVICES)
    assert done.services["storage commitment"] == "refused with status 0x0213"
    (asked, _), (ended, details) = events(sqlite_database)
    assert (asked, ended) == ("sonogate:commitment:asked", "sonogate:commitment:ended")
    assert details["reason"] == "refused with status 0x0213"


def test_a_report_on_an_earlier_rehearsal_is_kept_in_its_own_row(
    pieces: list[Piece], sqlite_database: Database
) -> None:
    with sqlite_database.write() as session:
        commitments.record_request(session, "2.25.4", "there", {"1.2.4"}, now=NOW)
    older = build_commitment_request("2.25.4", [("1.2.3", "1.2.4")])
    archive = Archive(reports_at_once=True, tells=((1, older),))
    done = rehearsed(archive, pieces[:1], sqlite_database, *SERVICES, commit_seconds=10)
    assert [fate.committed for fate in done.fates] == [True]
    assert archive.statuses_of_reports == [0x0000, 0x0000]
    with sqlite_database.read() as session:
        row = commitments.find_request(session, "2.25.4")
        assert row is not None
        assert row.committed == ["1.2.4"]
