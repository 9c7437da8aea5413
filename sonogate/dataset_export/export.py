"""Signed images as a folder that `models.training.dataset` reads, without a word of whose they are."""

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
from models.training.dataset import MANIFEST
from sonogate.dataset_export.signed_images import SignedImage, SignedImages
from sonogate.errors import FolderInUse, NothingSigned
from workers.results.gray_png import encode_gray, encode_mask

ACTOR: Final = "sonogate"
IMAGES, MASKS = "images", "masks"
COLUMNS: Final = ("image", "class", "masks", "duplicate_group", "label_conflict", "birads")
_EVENTS_AT_ONCE: Final = 100
"""Whoever appends to the chain waits for the transaction of those before."""


@dataclass
class Exported:
    """What a folder holds."""

    id: UUID = field(default_factory=uuid4)
    """Of the export, in the audit chain."""
    manifest_sha256: str = ""
    studies: Counter[UUID] = field(default_factory=Counter)
    """Images of each."""
    patients: set[int] = field(default_factory=set)
    classes: Counter[str] = field(default_factory=Counter)
    doubtful: int = 0
    left_out: Mapping[str, int] = field(default_factory=dict)

    @property
    def images(self) -> int:
        return self.studies.total()

    def count(self, image: SignedImage) -> None:
        self.studies[image.study_id] += 1
        self.patients.add(image.patient)
        self.classes[image.label] += 1
        self.doubtful += image.doubtful


def export(database: Database, store: FileStore, directory: Path, now: datetime) -> Exported:
    """Fill `directory`, which is empty or not there, with all that stands signed.

    It is there whole or not at all, and not before the audit chain tells of it.

    Raises:
        FolderInUse, NothingSigned.
        StoreFull: what is left of the disk of the file store is kept for receiving.
        OSError: the disk is full or cannot be written.
    """
    directory = directory.resolve()
    if directory.exists() and any(directory.iterdir()):
        raise FolderInUse(directory)
    signed = SignedImages(database, store)
    with _whole_or_not_at_all(directory) as folder:
        exported = _fill(folder, signed, store)
        exported.left_out = {reason.value: n for reason, n in sorted(signed.left_out.items()) if n}
        if not exported.images:
            raise NothingSigned(exported.left_out)
        _tell(database, exported, now)
    return exported


@contextmanager
def _whole_or_not_at_all(directory: Path) -> Iterator[Path]:
    """A folder that only its maker may read, beside `directory` until it takes its place."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
    try:
        yield aside
        aside.rename(directory)
        flush_directory(directory.parent)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _fill(folder: Path, images: SignedImages, store: FileStore) -> Exported:
    exported, rows = Exported(), io.StringIO()
    manifest = csv.DictWriter(rows, COLUMNS, lineterminator="\n")
    manifest.writeheader()
    for name in (IMAGES, MASKS):
        (folder / name).mkdir()
    for number, image in enumerate(images, 1):
        store.check_room()
        manifest.writerow(_keep_image(folder, number, image))
        exported.count(image)
    exported.manifest_sha256 = _keep(folder / MANIFEST, rows.getvalue().encode())
    for each in (folder / IMAGES, folder / MASKS, folder):
        flush_directory(each)
    return exported


def _keep_image(folder: Path, number: int, image: SignedImage) -> dict[str, object]:
    """Write its files and return its line of the manifest."""
    picture = f"{IMAGES}/{number:06}.png"
    masks = [f"{MASKS}/{number:06}-{lesion}.png" for lesion in range(1, len(image.masks) + 1)]
    _keep(folder / picture, encode_gray(image.pixels))
    for name, mask in zip(masks, image.masks, strict=True):
        _keep(folder / name, encode_mask(mask))
    values = picture, image.label, ";".join(masks), image.patient, int(image.doubtful), image.birads
    return dict(zip(COLUMNS, values, strict=True))


def _keep(path: Path, content: bytes) -> str:
    """Bring a file to the disk: some disks say only then that they are full. Its SHA-256."""
    path.write_bytes(content)
    return flush_and_digest(path)[0]


def _tell(database: Database, exported: Exported, now: datetime) -> None:
    """One event for each study, so that its story tells of it, then one for the whole."""
    studies = list(exported.studies.items())
    for start in range(0, len(studies), _EVENTS_AT_ONCE):
        with database.write() as session:
            for study_id, images in studies[start : start + _EVENTS_AT_ONCE]:
                audit.append(
                    session, AuditTag.STUDY_EXPORTED, actor=ACTOR, now=now, study_id=study_id,
                    export_id=exported.id, images=images,
                )  # fmt: skip
    with database.write() as session:
        audit.append(
            session, AuditTag.DATASET_EXPORTED, actor=ACTOR, now=now, account=_account(),
            export_id=exported.id, studies=len(studies), images=exported.images,
            patients=len(exported.patients), manifest_sha256=exported.manifest_sha256,
        )  # fmt: skip


def _account() -> str:
    """Of the system; a container may run under a number without a name."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
