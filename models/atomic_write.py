"""Atomic file writes: after a crash a file has its old or its new content, never a part."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def open_atomically(file: Path) -> Iterator[BinaryIO]:
    """Open a temporary file that replaces ``file`` when the block ends without an exception."""
    temporary = file.with_name(f"half-{file.name}")
    with temporary.open("wb") as stream:
        yield stream
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(file)


def write_text_atomically(file: Path, text: str) -> None:
    """Replace the content of ``file`` by ``text`` in UTF-8."""
    with open_atomically(file) as stream:
        stream.write(text.encode())
