"""C-FIND and C-GET with an SCP that can fail in every way."""

from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # made at run time
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
)

from tests.workers.archive import Archive, run_archive
from tests.workers.destinations.dimse.references import reference
from workers.destinations.dimse.association import AssociationRequestor, Peer
from workers.destinations.dimse.query_scu import find, get
from workers.destinations.kind import FindResult, InstanceReference, RetrieveResult
from workers.errors import ServiceNotOffered


def found_at(
    archive: Archive, images: list[Dataset], *, seconds: float = 0
) -> tuple[FindResult, ...]:
    with run_archive(archive, StudyRootQueryRetrieveInformationModelFind) as requestor:
        found = find(requestor, [reference(each) for each in images], wait_seconds=seconds)
    return tuple(found[str(each.SOPInstanceUID)] for each in images)


def retrieved_from(archive: Archive, images: list[Dataset]) -> tuple[RetrieveResult, ...]:
    with run_archive(archive, StudyRootQueryRetrieveInformationModelGet) as requestor:
        results = get(requestor, [reference(each) for each in images])
    assert set(results) == {str(each.SOPInstanceUID) for each in images}
    return tuple(results[str(each.SOPInstanceUID)] for each in images)


def test_only_objects_that_the_peer_has_are_found(images: list[Dataset]) -> None:
    assert found_at(Archive(images[:1]), images) == (FindResult(True), FindResult(False))


def test_objects_that_a_peer_indexes_late_are_queried_again(images: list[Dataset]) -> None:
    late = Archive(images, finds_from=3)
    assert found_at(late, images, seconds=20) == (FindResult(True), FindResult(True))
    assert late.finds == 4


def test_the_query_for_missing_objects_ends(images: list[Dataset]) -> None:
    archive = Archive()
    assert found_at(archive, images, seconds=0.1) == (FindResult(False), FindResult(False))
    assert archive.finds == 4


def test_a_failed_query_is_reported_with_its_status_and_not_repeated(
    images: list[Dataset],
) -> None:
    archive = Archive(find_status=0xA900)
    problem = "C-FIND failed with status 0xA900: Identifier Does Not Match SOP Class"
    assert found_at(archive, images, seconds=20) == (FindResult(False, problem),) * 2
    assert archive.finds == 2


def test_a_query_that_is_aborted_keeps_earlier_results(images: list[Dataset]) -> None:
    problem = "C-FIND: no response, the peer timed out or closed the connection"
    found = found_at(Archive(images, aborts_at=2), images, seconds=20)
    assert found == (FindResult(True), FindResult(False, problem))


# pynetdicom shuts down the socket of a refused connection and forgets to close it
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_an_unreachable_peer_is_a_problem_of_every_object(
    images: list[Dataset], free_port: int
) -> None:
    requestor = AssociationRequestor(Peer("GONE", "127.0.0.1", free_port), "SONOGATE")
    instances = [reference(each) for each in images]
    problems = [each.problem for each in find(requestor, instances, wait_seconds=20).values()]
    problems += [each.problem for each in get(requestor, instances).values()]
    assert len(problems) == 4
    assert all("cannot connect to 127.0.0.1" in problem for problem in problems)


def test_retrieved_objects_have_their_bytes(images: list[Dataset], tmp_path: Path) -> None:
    came, away = retrieved_from(Archive(images[:1]), images)
    assert came.content is not None
    assert (tmp_path / "1.dcm").read_bytes().endswith(came.content)
    assert len(came.content) > images[0].Rows * images[0].Columns
    assert away == RetrieveResult(None)


def test_a_failed_retrieval_is_reported_with_its_status(images: list[Dataset]) -> None:
    first, second = retrieved_from(Archive(images, get_status=0xA702), images)
    assert first == second
    assert first.content is None
    assert first.problem.startswith("C-GET failed with status 0xA702: ")


def test_an_object_whose_class_the_peer_does_not_send_is_left_out(images: list[Dataset]) -> None:
    with run_archive(
        Archive(images, sop_classes=()), StudyRootQueryRetrieveInformationModelGet
    ) as requestor:
        assert get(requestor, [reference(images[0])]) == {}


def find_at_once(requestor: AssociationRequestor, instances: list[InstanceReference]) -> object:
    return find(requestor, instances, wait_seconds=0)


@pytest.mark.parametrize("ask", [find_at_once, get])
def test_a_service_that_is_not_offered_is_told_from_an_empty_answer(
    images: list[Dataset], ask: Callable[[AssociationRequestor, list[InstanceReference]], object]
) -> None:
    with run_archive(Archive(images)) as requestor, pytest.raises(ServiceNotOffered):
        ask(requestor, [reference(images[0])])
