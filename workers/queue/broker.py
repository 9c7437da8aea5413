"""Celery as the doorbell: a message says that a job is due, and nothing else."""

from typing import Final
from uuid import UUID

from celery import Celery
from kombu.exceptions import OperationalError

from db.schema import JobKind

TASK: Final = "workers.queue.runner"
_PING_SECONDS: Final = 2


class BrokerUnavailable(Exception):
    """Redis does not answer."""


class CeleryBroker:
    """Broker whichever worker has a hand free."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    def ring(self, job_id: UUID, kind: JobKind) -> None:
        """Raises BrokerUnavailable."""
        try:
            self._app.send_task(TASK, args=[str(job_id), kind.value])
        except OperationalError as error:
            raise BrokerUnavailable from error

    def answers(self) -> bool:
        """Whether Redis is there."""
        try:
            with self._app.connection_for_write() as connection:
                connection.ensure_connection(max_retries=1, timeout=_PING_SECONDS)
        except (OperationalError, OSError):
            return False
        return True
