"""Files that are there whole or as they were, whenever a process or the power ends."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def replacing(file: Path) -> Iterator[BinaryIO]:
    """Open a file beside ``file`` that takes its place once all is written."""
    half = file.with_name(f"half-{file.name}")
    with half.open("wb") as stream:
        yield stream
        stream.flush()
        os.fsync(stream.fileno())
    half.replace(file)


def write_text(file: Path, text: str) -> None:
    """Replace ``file`` by ``text`` in UTF-8."""
    with replacing(file) as stream:
        stream.write(text.encode())
