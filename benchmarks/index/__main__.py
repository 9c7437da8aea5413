"""Measure how many received files the indexer turns into rows in a second.

Run ``python -m benchmarks.index``. It writes files as the listener does, first all of one study and
then each of a study of its own, and indexes them. ``--bytes`` is the size of their pixels, 65536 by
default. ``--database-url`` names an empty PostgreSQL database; the default is a new SQLite one. The
first batch is a warm-up and does not count. The senders and the listener do not run beside it: see
``python -m benchmarks.receive`` for both together.
"""

import argparse
import sys
import time
from collections import Counter
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from db import migrate
from db.engine import Database
from db.files import FileStore
from db.types import now_utc
from listener.incoming_files import IncomingFiles, Origin
from listener.indexer import BATCH_FILES, Indexer
from listener.origin import parse_file_meta
from tests.listener.images import image

_WIDTH: Final = 64


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.index")
    parser.add_argument("--batches", type=int, default=8, help="batches of 256 files")
    parser.add_argument("--bytes", type=int, default=65_536, help="size of the pixels of a file")
    parser.add_argument("--database-url", default="", help="an empty PostgreSQL database")
    options = parser.parse_args()
    with TemporaryDirectory(prefix="sonogate-index-") as folder:
        database = Database(options.database_url or f"sqlite:///{folder}/index.db")
        migrate.upgrade(database.engine)
        for kind, is_one_study in (("one study", True), ("a study for each file", False)):
            files = FileStore(Path(folder) / kind)
            files.prepare()
            write_files(files, (options.batches + 1) * BATCH_FILES, options.bytes, is_one_study)
            seconds = index(files, database)
            rate = options.batches * BATCH_FILES / seconds
            sys.stdout.write(f"{database.engine.name:12} {kind:24} {rate:8.0f} files/s\n")
        database.close()


def write_files(files: FileStore, count: int, size_bytes: int, is_one_study: bool) -> None:
    made = image(size_bytes=size_bytes // _WIDTH * _WIDTH)
    incoming_files = IncomingFiles(files)
    for _ in range(count):
        made.SOPInstanceUID = generate_uid()
        if not is_one_study:
            made.StudyInstanceUID, made.SeriesInstanceUID = generate_uid(), generate_uid()
        write_file(incoming_files, made)


def write_file(incoming_files: IncomingFiles, made: Dataset) -> None:
    origin = Origin(
        sop_class_uid=made.SOPClassUID,
        sop_instance_uid=made.SOPInstanceUID,
        transfer_syntax_uid=made.file_meta.TransferSyntaxUID,
        calling_ae="BENCHMARK",
        called_ae="SONOGATE",
        address="127.0.0.1",
        received_at=now_utc(),
        stable_after=timedelta(days=1),
    )
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    content = BytesIO()
    made.save_as(content, enforce_file_format=True)
    encoded = content.getvalue()
    incoming = incoming_files.create(origin)
    incoming.write(encoded[parse_file_meta(encoded).data_set_offset :])
    incoming.store()
    incoming.publish()


def index(files: FileStore, database: Database) -> float:
    """Return the seconds for all batches but the first."""
    with Indexer(database, files) as indexer:
        batches = indexer.index_incoming()
        next(batches)
        start = time.perf_counter()
        outcomes = sum(batches, Counter[str]())
        seconds = time.perf_counter() - start
    if set(outcomes) != {"stored"}:
        sys.exit(f"not every file was stored: {dict(outcomes)}")
    return seconds


if __name__ == "__main__":
    main()
