"""Result objects on disk: written whole, read back, and told to the rows."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import UUID, uuid4

from pydicom.dataset import Dataset

from db.files import FileStore, StoredFile, result_file
from db.schema import ResultKind, ResultObject
from dicom.files import encode
from dicom.readback import verify_report, verify_segmentation
from dicom.results import ReportReference, SignedReview, StudyResult
from dicom.seg import build_segmentations
from dicom.sr import build_report, build_verified_report


@dataclass(frozen=True, eq=False)
class Made:
    """An object that is in its place in the store."""

    kind: ResultKind
    dataset: Dataset
    stored: StoredFile

    def row(self, now: datetime) -> ResultObject:
        return ResultObject(
            id=uuid4(),
            kind=self.kind,
            sop_class_uid=str(self.dataset.SOPClassUID),
            sop_instance_uid=str(self.dataset.SOPInstanceUID),
            series_instance_uid=str(self.dataset.SeriesInstanceUID),
            created_at=now,
            **self.stored.__dict__,
        )


class Workshop:
    """Makes the objects of one analysis. The same result gives the same bytes in the same files.

    Every method raises DicomError when what is on disk is not what was meant, and OSError when
    the disk does not take it.
    """

    def __init__(self, store: FileStore, analysis_id: UUID) -> None:
        self._store = store
        self._analysis_id = analysis_id

    def results(self, result: StudyResult) -> list[Made]:
        """Segmentations and the unverified report."""
        segmentations = list(self._segmentations(result))
        report = build_report(result, [made.dataset for made in segmentations])
        made = self._keep(ResultKind.SR, report)
        verify_report(self._path(made), result)
        return [*segmentations, made]

    def verified_report(
        self,
        result: StudyResult,
        segmentations: list[Dataset],
        review: SignedReview,
        predecessor: ReportReference,
    ) -> Made:
        """What the reader signed."""
        report = build_verified_report(result, segmentations, review, predecessor)
        made = self._keep(ResultKind.SR, report)
        verify_report(self._path(made), result, review)
        return made

    def _segmentations(self, result: StudyResult) -> Iterator[Made]:
        outlined = [image for image in result.images if image.lesions]
        for image, dataset in zip(outlined, build_segmentations(result), strict=True):
            made = self._keep(ResultKind.SEG, dataset)
            verify_segmentation(self._path(made), image)
            yield made

    def _keep(self, kind: ResultKind, dataset: Dataset) -> Made:
        name = f"{dataset.SOPInstanceUID}.dcm"  # our own UID, derived from our own ids
        stored = self._store.write(result_file(self._analysis_id, name), encode(dataset))
        return Made(kind, dataset, stored)

    def _path(self, made: Made) -> Path:
        return self._store.path(made.stored.file)
