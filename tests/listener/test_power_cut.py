"""A power cut after each operation on files: every answered object is found again.

The operations of receiving and indexing are recorded, and for each moment the disk is built that a
power cut would leave: of the contents only what was flushed, and of the names either all (they were
written early), or only those whose directory was flushed, or these without all that were removed. A
rename between directories survives as a whole or not at all, as on file systems with a journal.
"""

import os
import shutil
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from db.engine import Database
from db.files import FileStore, flush_and_digest
from db.incoming import measure_backlog
from db.schema import Instance
from listener.incoming_files import IncomingFile
from tests.listener.images import image, sibling
from tests.listener.indexing import index_everything
from tests.listener.test_indexer import IndexerSetup

Names = dict[str, int]
"""Inode number by path."""


@dataclass(frozen=True)
class Moment:
    """What a power cut would leave, and what was answered by then."""

    operation: str
    flushed_names: Names
    all_names: Names
    names_without_removed: Names
    """Removals and renames were written early, new names only if their directory was flushed."""
    contents: dict[int, bytes]
    """Flushed bytes by inode number."""
    answered: frozenset[str]
    database: Path


@dataclass
class RecordedDisk:
    """Records the operations on the files below a directory."""

    root: Path
    database: Path
    monkeypatch: pytest.MonkeyPatch
    moments: list[Moment] = field(default_factory=list)
    answered: set[str] = field(default_factory=set)
    names: Names = field(default_factory=dict)
    flushed: Names = field(default_factory=dict)
    contents: dict[int, bytes] = field(default_factory=dict)
    pending: list[tuple[str | None, str | None, int]] = field(default_factory=list)
    """Old name, new name and inode number of each operation on names since its last flush."""

    real: dict[str, Callable[..., Any]] = field(default_factory=dict)
    """The functions of `os` that are replaced."""

    def start(self) -> None:
        for name, replacement in (
            ("open", self.open),
            ("fsync", self.fsync),
            ("rename", self.rename),
            ("link", self.link),
            ("unlink", self.unlink),
        ):
            self.real[name] = getattr(os, name)
            self.monkeypatch.setattr(os, name, replacement)
        store = IncomingFile.store

        def store_and_answer(incoming: IncomingFile) -> None:
            store(incoming)
            self.answered.add(incoming.origin.sop_instance_uid)

        self.monkeypatch.setattr(IncomingFile, "store", store_and_answer)

    def open(self, path: Any, flags: int, *arguments: Any, **options: Any) -> int:
        descriptor: int = self.real["open"](path, flags, *arguments, **options)
        if flags & os.O_CREAT and self._is_inside(path):
            self._change(None, Path(path), f"create {Path(path).parent.name}")
        return descriptor

    def fsync(self, descriptor: int) -> None:
        self.real["fsync"](descriptor)
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if self._is_inside(path):
            self._flush(path, os.fstat(descriptor))

    def rename(self, source: Any, target: Any) -> None:
        self.real["rename"](source, target)
        self._change(Path(source), Path(target), f"rename to {Path(target).parent.name}")

    def link(self, source: Any, target: Any) -> None:
        self.real["link"](source, target)
        self._change(None, Path(target), f"link {Path(target).parent.name}")

    def unlink(self, path: Any, *arguments: Any, **options: Any) -> None:
        self.real["unlink"](path, *arguments, **options)
        if self._is_inside(path):
            self._change(Path(path), None, "unlink")

    def _is_inside(self, path: Any) -> bool:
        return Path(path).is_relative_to(self.root)

    def _change(self, old: Path | None, new: Path | None, operation: str) -> None:
        old_name, new_name = (str(p.relative_to(self.root)) if p else None for p in (old, new))
        inode = self.names.get(old_name or "") or (new.stat().st_ino if new else 0)
        self.pending.append((old_name, new_name, inode))
        _apply(self.names, [self.pending[-1]])
        self._remember(operation)

    def _flush(self, path: Path, status: os.stat_result) -> None:
        if stat.S_ISREG(status.st_mode):
            self.contents[status.st_ino] = path.read_bytes()
            self._remember("flush a file")
            return
        directory = str(path.relative_to(self.root))
        done = [
            change
            for change in self.pending
            if directory in {str(Path(name).parent) for name in change[:2] if name}
        ]
        _apply(self.flushed, done)
        self.pending = [change for change in self.pending if change not in done]
        self._remember(f"flush {path.name}")

    def _remember(self, operation: str) -> None:
        snapshot = self.root.parent / f"{len(self.moments)}.db"
        with (
            closing(sqlite3.connect(self.database)) as source,
            closing(sqlite3.connect(snapshot)) as target,
        ):
            source.backup(target)
        self.moments.append(
            Moment(
                operation,
                dict(self.flushed),
                dict(self.names),
                self._flushed_without_removed(),
                dict(self.contents),
                frozenset(self.answered),
                snapshot,
            )
        )

    def _flushed_without_removed(self) -> Names:
        names = dict(self.flushed)
        _apply(names, [change for change in self.pending if change[0]])
        return names


def _apply(names: Names, changes: list[tuple[str | None, str | None, int]]) -> None:
    for old, new, inode in changes:
        if old:
            names.pop(old, None)
        if new:
            names[new] = inode


def build_disk(moment: Moment, names: Names, root: Path) -> FileStore:
    files = FileStore(root)
    files.prepare()
    paths: dict[int, Path] = {}
    for name, inode in names.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if inode in paths:
            path.hardlink_to(paths[inode])
        else:
            paths[inode] = path
            path.write_bytes(moment.contents.get(inode, b""))
    return files


def check_after(moment: Moment, names: Names, folder: Path, what: str) -> None:
    """Start again after the power cut and look for every answered object."""
    folder.mkdir()
    files = build_disk(moment, names, folder / "files")
    database = Database(f"sqlite:///{shutil.copy(moment.database, folder / 'after.db')}")
    try:
        outcomes = index_everything(database, files)
        with database.read() as session:
            rows = session.scalars(select(Instance)).all()
    finally:
        database.close()
    found = {row.sop_instance_uid for row in rows}
    assert moment.answered <= found, f"lost after {what}: {outcomes}"
    for row in rows:
        path = files.path(row.file)
        assert flush_and_digest(path) == (row.sha256, row.size_bytes), what
    assert measure_backlog(files).files == 0, what


def test_a_power_cut_after_any_operation_loses_no_answered_object(
    sqlite_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = FileStore(tmp_path / "recorded" / "files")
    files.prepare()
    setup = IndexerSetup(sqlite_database, files)
    disk = RecordedDisk(
        files.root, Path(sqlite_database.url.removeprefix("sqlite:///")), monkeypatch
    )
    disk.start()
    first = image()
    for dataset in (first, sibling(first), image(), first):
        setup.receive(dataset)
    setup.index()
    setup.receive(sibling(first))
    setup.index()
    monkeypatch.undo()
    assert len(disk.answered) == 4
    operations = [moment.operation for moment in disk.moments]
    assert operations.count("flush a file") == operations.count("rename to spool") == 5
    assert operations.count("unlink") == 5
    for number, moment in enumerate(disk.moments):
        for kind, names in (
            ("flushed", moment.flushed_names),
            ("all", moment.all_names),
            ("not removed", moment.names_without_removed),
        ):
            what = f"operation {number} ({moment.operation}), {kind} names"
            check_after(moment, names, tmp_path / f"{number}-{kind}", what)
