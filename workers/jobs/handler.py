"""What each kind of job looks like to the runner."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sqlalchemy.orm import Session

from db.jobs import Claim
from db.schema import Job

Write = Callable[[Session, datetime], None]
"""Puts a result into rows, in the transaction that finishes the job."""


class JobHandler(Protocol):
    """One kind of job. Doing the same job twice leaves the same rows and objects."""

    def do(self, claim: Claim, now: datetime) -> Write:
        """Do the slow part, with no transaction open, and return what is to be written.

        Raises any exception: it counts as permanent when it says so (``permanent``).
        """

    def failed(self, session: Session, job: Job, failure: "Failure", now: datetime) -> None:
        """Put the failure into the rows that the job is about."""


@dataclass(frozen=True)
class Failure:
    """Why a job failed, in words for people, and whether it is given up."""

    reason: str
    given_up: bool
    error: BaseException | None = None
    """None: the worker died."""
