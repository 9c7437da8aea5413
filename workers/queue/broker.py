"""Dispatch of jobs through Celery. A task carries only the id and kind of a job that is due."""

from typing import Final
from uuid import UUID

from celery import Celery
from kombu.exceptions import OperationalError

from db.schema import JobKind

RUN_JOB_TASK: Final = "workers.run_job"
_CONNECT_TIMEOUT_SECONDS: Final = 2


class BrokerUnavailable(Exception):
    """Raised when Redis does not answer."""


class CeleryBroker:
    """Sends the task of a job to any worker."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    def dispatch(self, job_id: UUID, kind: JobKind) -> None:
        """Send the task of a job.

        Raises:
            BrokerUnavailable: Redis does not answer.
        """
        try:
            self._app.send_task(RUN_JOB_TASK, args=[str(job_id), kind.value])
        except OperationalError as error:
            raise BrokerUnavailable from error

    def is_available(self) -> bool:
        """Return whether Redis answers."""
        try:
            with self._app.connection_for_write() as connection:
                connection.ensure_connection(max_retries=1, timeout=_CONNECT_TIMEOUT_SECONDS)
        except (OperationalError, OSError):
            return False
        return True
