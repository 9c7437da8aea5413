"""Input files of the command line: DICOM files and PNG or JPEG images."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from sonogate.errors import NoInputFiles
from workers.pipeline.image_file import PNG_OR_JPEG_SUFFIXES

PREAMBLE_BYTES = 128
PREFIX = b"DICM"
"""Follows the preamble of a DICOM file (PS3.10 7.1)."""


def find_input_files(paths: Iterable[Path], *, exclude: Path | None = None) -> list[Path]:
    """Return the files to process, without duplicates.

    A file named in `paths` is returned whatever it contains. Folders are searched recursively, in
    the order of their names, for DICOM files (by content) and PNG and JPEG files (by suffix).
    Hidden files and the folder `exclude` are skipped.

    Raises:
        NoInputFiles: The paths contain no such file.
    """
    files = {
        file.resolve(): file
        for path in paths
        for file in (_search_folder(path, exclude) if path.is_dir() else [path])
    }
    if not files:
        raise NoInputFiles
    return list(files.values())


def is_plain_image(path: Path) -> bool:
    """Return whether the suffix is that of a PNG or JPEG file."""
    return path.suffix.lower() in PNG_OR_JPEG_SUFFIXES


def _search_folder(folder: Path, exclude: Path | None) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        excluded = exclude is not None and path.resolve().is_relative_to(exclude.resolve())
        if hidden or excluded or not path.is_file():
            continue
        if is_plain_image(path) or has_dicom_prefix(path):
            yield path


def has_dicom_prefix(path: Path) -> bool:
    """Return whether the file can be read and starts like a DICOM file (PS3.10 7.1)."""
    try:
        with path.open("rb") as file:
            return file.read(PREAMBLE_BYTES + len(PREFIX))[PREAMBLE_BYTES:] == PREFIX
    except OSError:
        return False
