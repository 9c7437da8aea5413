"""Result objects on disk: written whole, read back, and told to the rows."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID, uuid4

from pydicom.dataset import Dataset

from db.files import FileStore, StoredFile, result_file
from db.schema import ResultObject
from dicom.files import encode
from dicom.results.catalogue import ResultSpec, verify
from dicom.results.model import SignedReview, StudyResult
from workers.results.selection import ResultSelection, selection_as_text


@dataclass(frozen=True, eq=False)
class WrittenObject:
    """An object that is in its place in the store. Its pixels are there only: a study's are many."""

    spec: ResultSpec
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    stored: StoredFile
    selections: list[ResultSelection] = field(default_factory=list)
    """Those that it is a part of."""

    def row(self, now: datetime) -> ResultObject:
        return ResultObject(
            id=uuid4(),
            spec=str(self.spec),
            selections=[selection_as_text(selection) for selection in self.selections],
            sop_class_uid=self.sop_class_uid,
            sop_instance_uid=self.sop_instance_uid,
            series_instance_uid=self.series_instance_uid,
            created_at=now,
            **self.stored.__dict__,
        )


class ResultWriter:
    """Keeps what is made of one analysis, or of a signed review of it, selection by selection.

    An object that several selections have in common is kept once, and one that is `there` already is
    left as it is. The same result gives the same bytes in the same files.
    """

    def __init__(
        self,
        store: FileStore,
        analysis_id: UUID,
        result: StudyResult,
        review: SignedReview | None = None,
        there: Iterable[str] = (),
    ) -> None:
        self._store = store
        self._analysis_id = analysis_id
        self._result = result
        self._review = review
        self._there = frozenset(there)
        self._made: dict[str, WrittenObject] = {}

    @property
    def made(self) -> list[WrittenObject]:
        return list(self._made.values())

    def keep(
        self, selection: ResultSelection, objects: Iterable[tuple[ResultSpec, Dataset]]
    ) -> None:
        """Write what is new of `objects`, one as it comes after the other, and read it back.

        Raises DicomError when what is on disk is not what was meant, and OSError when the disk
        does not take it.
        """
        for spec, dataset in objects:
            uid = str(dataset.SOPInstanceUID)
            if uid not in self._made and uid not in self._there:
                self._made[uid] = self._write(spec, dataset)
            if uid in self._made:
                self._made[uid].selections.append(selection)
            del dataset  # or it would be there still while the next one is made

    def _write(self, spec: ResultSpec, dataset: Dataset) -> WrittenObject:
        name = f"{dataset.SOPInstanceUID}.dcm"  # our own UID, derived from our own ids
        stored = self._store.write(result_file(self._analysis_id, name), encode(dataset))
        verify(spec, self._store.path(stored.file), dataset, self._result, self._review)
        return WrittenObject(
            spec,
            str(dataset.SOPClassUID),
            str(dataset.SOPInstanceUID),
            str(dataset.SeriesInstanceUID),
            stored,
        )
