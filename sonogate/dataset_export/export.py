"""Writes labeled images to a folder in the layout that `models.data.dataset` reads."""

import csv
import io
import os
import pwd
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final
from uuid import UUID, uuid4

from db import audit
from db.audit_tags import AuditTag
from db.engine import Database
from db.files import FileStore, flush_and_digest, flush_directory
from models.data.dataset import MANIFEST
from sonogate.dataset_export.labeled_images import LabeledImage, LabeledImages
from sonogate.errors import DirectoryNotEmpty, NothingToExport
from workers.results.gray_png import encode_gray, encode_mask

ACTOR: Final = "sonogate"
IMAGES, MASKS = "images", "masks"
COLUMNS: Final = ("image", "class", "masks", "duplicate_group", "label_conflict", "birads")
_EVENTS_PER_TRANSACTION: Final = 100
"""Other writers of the audit log wait for the end of a transaction."""


@dataclass
class ExportSummary:
    """Counts of an export."""

    id: UUID = field(default_factory=uuid4)
    """Identifies the export in the audit log."""
    manifest_sha256: str = ""
    images_by_study: Counter[UUID] = field(default_factory=Counter)
    patients: set[int] = field(default_factory=set)
    classes: Counter[str] = field(default_factory=Counter)
    label_conflicts: int = 0
    excluded: Mapping[str, int] = field(default_factory=dict)

    @property
    def images(self) -> int:
        return self.images_by_study.total()

    def count(self, image: LabeledImage) -> None:
        """Add an image to the counts."""
        self.images_by_study[image.study_id] += 1
        self.patients.add(image.patient)
        self.classes[image.label] += 1
        self.label_conflicts += image.label_conflict


def export(database: Database, store: FileStore, directory: Path, now: datetime) -> ExportSummary:
    """Export the images of all signed reviews to a new or empty directory.

    The directory appears only once it is complete and recorded in the audit log.

    Raises:
        DirectoryNotEmpty: The directory contains files.
        NothingToExport: No signed review yields an image.
        StoreFull: The disk of the file store is below the watermark.
        OSError: The disk is full or not writable.
    """
    directory = directory.resolve()
    if directory.exists() and any(directory.iterdir()):
        raise DirectoryNotEmpty(directory)
    images = LabeledImages(database, store)
    with _atomic_directory(directory) as folder:
        summary = _write_files(folder, images, store)
        summary.excluded = {
            reason.value: count for reason, count in sorted(images.excluded.items()) if count
        }
        if not summary.images:
            raise NothingToExport(summary.excluded)
        _append_audit_events(database, summary, now)
    return summary


@contextmanager
def _atomic_directory(directory: Path) -> Iterator[Path]:
    """Yield a temporary folder that replaces `directory` if the block succeeds.

    Only its owner can read it.
    """
    directory.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
    try:
        yield temporary
        temporary.rename(directory)
        flush_directory(directory.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write_files(folder: Path, images: LabeledImages, store: FileStore) -> ExportSummary:
    summary, rows = ExportSummary(), io.StringIO()
    manifest = csv.DictWriter(rows, COLUMNS, lineterminator="\n")
    manifest.writeheader()
    for name in (IMAGES, MASKS):
        (folder / name).mkdir()
    for number, image in enumerate(images, 1):
        store.check_free_space()
        manifest.writerow(_write_image(folder, number, image))
        summary.count(image)
    summary.manifest_sha256 = _write_file(folder / MANIFEST, rows.getvalue().encode())
    for directory in (folder / IMAGES, folder / MASKS, folder):
        flush_directory(directory)
    return summary


def _write_image(folder: Path, number: int, image: LabeledImage) -> dict[str, object]:
    """Write an image and its masks, and return its row of the manifest."""
    image_name = f"{IMAGES}/{number:06}.png"
    mask_names = []
    _write_file(folder / image_name, encode_gray(image.crop.pixels))
    for lesion, mask in enumerate(image.crop.masks, start=1):
        mask_names.append(f"{MASKS}/{number:06}-{lesion}.png")
        _write_file(folder / mask_names[-1], encode_mask(mask))
    return {
        "image": image_name,
        "class": image.label,
        "masks": ";".join(mask_names),
        "duplicate_group": image.patient,
        "label_conflict": int(image.label_conflict),
        "birads": image.birads,
    }


def _write_file(path: Path, content: bytes) -> str:
    """Write and flush a file, and return its SHA-256. A full disk may fail only on the flush."""
    path.write_bytes(content)
    return flush_and_digest(path)[0]


def _append_audit_events(database: Database, summary: ExportSummary, now: datetime) -> None:
    """Append one event per study, which its study history shows, and one for the export."""
    studies = list(summary.images_by_study.items())
    for start in range(0, len(studies), _EVENTS_PER_TRANSACTION):
        with database.write() as session:
            for study_id, images in studies[start : start + _EVENTS_PER_TRANSACTION]:
                audit.append(
                    session, AuditTag.STUDY_EXPORTED, actor=ACTOR, now=now, study_id=study_id,
                    export_id=summary.id, images=images,
                )  # fmt: skip
    with database.write() as session:
        audit.append(
            session, AuditTag.DATASET_EXPORTED, actor=ACTOR, now=now, account=_account_name(),
            export_id=summary.id, studies=len(studies), images=summary.images,
            patients=len(summary.patients), manifest_sha256=summary.manifest_sha256,
        )  # fmt: skip


def _account_name() -> str:
    """Return the name of the system account, or its number, as in some containers."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
