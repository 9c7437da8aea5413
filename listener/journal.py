"""What happened at the door, for the audit chain and the counts per sender."""

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


class Journal:
    """Writes in transactions of its own, so that telling of a refusal cannot change the answer.

    A database that is down costs the line its place in the chain; the log has it.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def note(self, tag: AuditTag, sender: Sender, counted: str, **details: Any) -> None:
        """An event of the audit chain, and one more of ``counted`` for this sender."""
        with _losing(tag), self._database.write() as session:
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
            count_event(session, sender, counted, now)

    def count(self, sender: Sender, counted: str) -> None:
        """One more, for what is too cheap to cause to deserve a place in the audit chain."""
        with _losing(counted), self._database.write() as session:
            count_event(session, sender, counted, now_utc())


@contextmanager
def _losing(what: str) -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        logger.error("%s could not be recorded: %s", what, type(error).__name__)
