"""Record audit events of the listener and counts for each sender."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from db import audit
from db.audit_tags import AuditTag
from db.engine import Database
from db.intake import ACTOR, Sender, count_event
from db.types import now_utc

logger = logging.getLogger(__name__)


class EventRecorder:
    """Writes in its own transactions, so that a failure to record cannot change a response.

    While the database is down, an event is written to the log only.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, tag: AuditTag, sender: Sender, count_as: str, **details: Any) -> None:
        """Append an audit event and increase the sender's count of `count_as`."""
        with _log_database_errors(tag), self._database.write() as session:
            now = now_utc()
            audit.append(
                session,
                tag,
                actor=ACTOR,
                now=now,
                calling_ae=sender.calling_ae,
                address=sender.address,
                **details,
            )
            count_event(session, sender, count_as, now)

    def count(self, sender: Sender, count_as: str) -> None:
        """Increase the sender's count of `count_as` only.

        Meant for events that any peer can cause in large numbers.
        """
        with _log_database_errors(count_as), self._database.write() as session:
            count_event(session, sender, count_as, now_utc())


@contextmanager
def _log_database_errors(event: str) -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        logger.error("%s could not be recorded: %s", event, type(error).__name__)
