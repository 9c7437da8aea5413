"""The interface between the job queue and the handlers of job kinds."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sqlalchemy.orm import Session

from db.jobs import Claim
from db.schema import Job

SaveResult = Callable[[Session, datetime], None]
"""Writes a result to the database, in the transaction that finishes the job."""


@dataclass(frozen=True)
class JobFailure:
    """Why a job failed."""

    reason: str
    """For people."""
    given_up: bool
    """The job is in the dead-letter queue."""
    error: BaseException | None = None
    """None if the worker stopped during the last attempt."""


class JobHandler(Protocol):
    """The code for one job kind. A second run of a job leaves the same rows and objects."""

    def handle(self, claim: Claim, now: datetime) -> SaveResult:
        """Do the work without an open transaction, and return what writes its result.

        May raise any exception; see `workers.errors.is_permanent`.
        """

    def on_failure(self, session: Session, job: Job, failure: JobFailure, now: datetime) -> None:
        """Write a failure of the job to the rows that it is about."""


def save_nothing(_session: Session, _now: datetime) -> None:
    """The result of a job that has nothing to do, for instance because it was done before."""
