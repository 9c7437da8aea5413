"""Writes result objects to the file store and verifies them."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID, uuid4

from pydicom.dataset import Dataset

from db.files import FileStore, StoredFile, result_file
from db.schema import ResultObject
from dicom.files import encode
from dicom.results.catalogue import verify
from dicom.results.model import SignedReview, StudyResult
from dicom.results.result_kind import ResultSpec
from workers.results.selection import ResultSelection, selection_as_text


@dataclass(frozen=True, eq=False)
class WrittenObject:
    """A result object in the file store. It holds no pixels, because a study has many of them."""

    spec: ResultSpec
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    stored: StoredFile
    selections: list[ResultSelection] = field(default_factory=list)
    """The selections that contain it."""

    def to_row(self, now: datetime) -> ResultObject:
        """Return a new row for the object."""
        return ResultObject(
            id=uuid4(),
            spec=self.spec.explicit_text,
            selections=[selection_as_text(selection) for selection in self.selections],
            sop_class_uid=self.sop_class_uid,
            sop_instance_uid=self.sop_instance_uid,
            series_instance_uid=self.series_instance_uid,
            created_at=now,
            file=self.stored.file,
            sha256=self.stored.sha256,
            size_bytes=self.stored.size_bytes,
        )


class ResultWriter:
    """Writes the result objects of one analysis, or of a signed review of it.

    An object that several selections contain is written once, and one of `existing_uids` not at
    all. The same result gives the same bytes in the same files.
    """

    def __init__(
        self,
        store: FileStore,
        analysis_id: UUID,
        result: StudyResult,
        review: SignedReview | None = None,
        existing_uids: Iterable[str] = (),
    ) -> None:
        self._store = store
        self._analysis_id = analysis_id
        self._result = result
        self._review = review
        self._existing_uids = frozenset(existing_uids)
        self._written: dict[str, WrittenObject] = {}

    @property
    def written(self) -> list[WrittenObject]:
        """The objects written so far."""
        return list(self._written.values())

    def write(
        self, selection: ResultSelection, objects: Iterable[tuple[ResultSpec, Dataset]]
    ) -> None:
        """Write the new ones of `objects` one by one, and read each back.

        Raises DicomError when the file does not hold the intended object, and OSError when the disk
        cannot take it.
        """
        for spec, dataset in objects:
            uid = str(dataset.SOPInstanceUID)
            if uid not in self._existing_uids:
                if uid not in self._written:
                    self._written[uid] = self._write_object(spec, dataset)
                self._written[uid].selections.append(selection)
            del dataset  # otherwise it stays in memory while the next one is built

    def _write_object(self, spec: ResultSpec, dataset: Dataset) -> WrittenObject:
        uid = str(dataset.SOPInstanceUID)  # derived from our own ids, so it is safe in a path
        stored = self._store.write(result_file(self._analysis_id, f"{uid}.dcm"), encode(dataset))
        verify(spec, self._store.path(stored.file), dataset, self._result, self._review)
        return WrittenObject(
            spec, str(dataset.SOPClassUID), uid, str(dataset.SeriesInstanceUID), stored
        )
