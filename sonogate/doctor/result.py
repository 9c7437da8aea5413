"""The result of one check."""

import enum
from dataclasses import dataclass


class Status(enum.StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class HealthCheckResult:
    """One result of a check. ``remedy`` is empty if the status is OK."""

    status: Status
    message: str
    remedy: str = ""


def ok(message: str) -> HealthCheckResult:
    """Return a result with status OK."""
    return HealthCheckResult(Status.OK, message)


def warn(message: str, remedy: str) -> HealthCheckResult:
    """Return a result with status WARN."""
    return HealthCheckResult(Status.WARN, message, remedy)


def fail(message: str, remedy: str) -> HealthCheckResult:
    """Return a result with status FAIL."""
    return HealthCheckResult(Status.FAIL, message, remedy)
