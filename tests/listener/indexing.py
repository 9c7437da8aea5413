"""Index the files of a store without a process."""

import math
from collections import Counter
from collections.abc import Callable
from datetime import datetime

from db.engine import Database
from db.files import FileStore
from db.types import now_utc
from listener.indexer import Indexer


def index_incoming(
    database: Database, files: FileStore, clock: Callable[[], datetime] = now_utc
) -> Counter[str]:
    """Index what waits, and return the outcomes."""
    with Indexer(database, files, clock) as indexer:
        return sum(indexer.index_incoming(), Counter[str]())


def index_everything(database: Database, files: FileStore) -> Counter[str]:
    """Index what a crash left behind, as the indexer does after its start."""
    with Indexer(database, files) as indexer:
        indexer.recover_spool(math.inf)
        outcomes = sum(indexer.index_incoming(), Counter[str]())
        return outcomes + sum(indexer.index_files_without_row(), Counter[str]())
