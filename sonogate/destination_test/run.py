"""Runs a destination test: stores objects, then asks for them by every service offered."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from dicom.commitment import CommitmentReport
from sonogate.destination_test.objects import SampleObject
from sonogate.destination_test.round_trip import (
    RoundTrip,
    compare_retrieved,
    find_commitment_failure,
)
from workers.destinations.kind import (
    CommitmentLog,
    DestinationClient,
    FindResult,
    RetrieveResult,
    SendOutcome,
)
from workers.errors import PeerError, ServiceNotOffered

OFFERED = "offered"
T = TypeVar("T")


@dataclass(frozen=True)
class Timeouts:
    """How long to wait for the destination, in seconds."""

    find_seconds: float
    """C-FIND is repeated for this long, because archives may index an object after storing it."""
    commit_seconds: float
    """The storage commitment report may arrive later, on another association."""


@dataclass(frozen=True)
class DestinationTestResult:
    """The outcome for each object, and for each service whether the destination offers it."""

    round_trips: tuple[RoundTrip, ...]
    services: dict[str, str]


@dataclass(frozen=True)
class _Responses:
    """Answers to C-FIND, C-GET and storage commitment; None: not offered or failed."""

    found: Mapping[str, FindResult] | None = None
    retrieved: Mapping[str, RetrieveResult] = field(default_factory=dict)
    report: CommitmentReport | None = None

    def to_round_trip(self, sample: SampleObject, outcome: SendOutcome) -> RoundTrip:
        if not outcome.accepted:
            return RoundTrip(sample.spec, outcome.problem)
        uid = sample.instance.sop_instance_uid
        found = None if self.found is None else self.found[uid]
        retrieved = self.retrieved.get(uid)
        retrieval, differences = compare_retrieved(sample.path, retrieved)
        return RoundTrip(
            sample.spec,
            warning_status=outcome.status or 0x0000,
            # a C-FIND that failed may still have returned the object, but never proves its absence
            found=None if found is None or (found.problem and not found.found) else found.found,
            retrieval=retrieval,
            differences=tuple(differences),
            committed=None if self.report is None else uid in self.report.committed,
            commitment_failure=find_commitment_failure(self.report, uid),
            failures=tuple(
                answer.problem for answer in (found, retrieved) if answer and answer.problem
            ),
        )


def run_destination_test(
    samples: Sequence[SampleObject],
    client: DestinationClient,
    requests: CommitmentLog,
    timeouts: Timeouts,
) -> DestinationTestResult:
    """Store the objects, then query, retrieve and request commitment for those stored.

    Raises:
        PeerError: The peer cannot be reached, or accepts none of the objects.
    """
    client.test()
    outcomes = client.send([sample.path for sample in samples])
    stored = [
        sample.instance
        for sample, outcome in zip(samples, outcomes, strict=True)
        if outcome.accepted
    ]
    responses, services = _Responses(), {}
    if stored:
        found, find_text = _try_service(
            lambda: client.find(stored, wait_seconds=timeouts.find_seconds)
        )
        retrieved, get_text = _try_service(lambda: client.retrieve(stored))
        report, commit_text = _request_report(
            lambda: client.request_commitment(
                requests, stored, wait_seconds=timeouts.commit_seconds
            ),
            timeouts.commit_seconds,
        )
        responses = _Responses(found, retrieved or {}, report)
        services = {
            "C-FIND": _with_failures(find_text, found),
            "C-GET": _with_failures(get_text, retrieved),
            "storage commitment": commit_text,
        }
    round_trips = map(responses.to_round_trip, samples, outcomes)
    return DestinationTestResult(tuple(round_trips), services)


def _try_service(request: Callable[[], T]) -> tuple[T | None, str]:
    """Return the answer to a request, and whether the service is offered, in words."""
    try:
        return request(), OFFERED
    except ServiceNotOffered:
        return None, "not offered"
    except PeerError as error:
        return None, str(error)


def _with_failures(
    text: str, answers: Mapping[str, FindResult] | Mapping[str, RetrieveResult] | None
) -> str:
    failed = sum(bool(answer.problem) for answer in (answers or {}).values())
    return f"{text}, but FAILED for {failed} of {len(answers or {})} objects" if failed else text


def _request_report(
    request: Callable[[], tuple[int | None, CommitmentReport | None]], seconds: float
) -> tuple[CommitmentReport | None, str]:
    answer, text = _try_service(request)
    if answer is None:
        return None, text
    status, report = answer
    if report is not None:
        return report, OFFERED
    if status is None:
        return None, "no answer; check that the destination knows our AE title"
    if status:
        return None, f"refused with status 0x{status:04X}"
    return None, (
        f"no report within {seconds:g} s. The report goes to our listener: check that it is"
        " running and that the PACS knows its AE title, host and port"
    )
