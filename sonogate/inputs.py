"""Files that people name on the command line: DICOM, and pictures that become DICOM."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from sonogate.errors import NothingFound
from workers.pipeline.image_file import PLAIN_SUFFIXES

MAGIC_AT = 128
MAGIC = b"DICM"


def find_inputs(paths: Iterable[Path], *, outside: Path | None = None) -> list[Path]:
    """The files to work on, each once.

    A file that is named is taken whatever it is. Folders are walked in the order of their names
    for DICOM files (by content), PNGs and JPEGs (by suffix); hidden ones, and what lies in
    `outside`, are passed over. Raises NothingFound.
    """
    found = {path.resolve(): path for given in paths for path in _inputs(given, outside)}
    if not found:
        raise NothingFound
    return list(found.values())


def is_plain(path: Path) -> bool:
    """Whether it is a PNG or JPEG, going by its suffix."""
    return path.suffix.lower() in PLAIN_SUFFIXES


def _inputs(given: Path, outside: Path | None) -> Iterator[Path]:
    if not given.is_dir():
        yield given
        return
    for path in sorted(given.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(given).parts)
        excluded = outside is not None and path.resolve().is_relative_to(outside.resolve())
        if not hidden and not excluded and path.is_file() and (is_plain(path) or _is_dicom(path)):
            yield path


def _is_dicom(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(MAGIC_AT + len(MAGIC))[MAGIC_AT:] == MAGIC
    except OSError:
        return False
