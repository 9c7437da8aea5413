"""The objects of a destination test: written to disk and verified there."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dicom.files import read_without_pixels, write_dataset
from dicom.results.catalogue import Built, Signing, build_set, build_signed_set, verify
from dicom.results.model import ReportReference, SignedReview, StudyResult
from workers.destinations.kind import InstanceReference
from workers.results.selection import ResultSelection

IMAGE: Final = "image"
SIGNED_PREFIX: Final = "signed/"
"""Precedes the result spec of an object that a signed review adds."""


@dataclass(frozen=True)
class SampleObject:
    """One object of the test, on disk. ``spec`` is `IMAGE` or a result spec."""

    spec: str
    path: Path
    instance: InstanceReference


def list_images(result: StudyResult) -> list[SampleObject]:
    """Return the images that the results refer to."""
    return [
        SampleObject(IMAGE, image.source, _read_instance(image.source)) for image in result.images
    ]


def write_results(
    result: StudyResult, review: SignedReview, selection: ResultSelection, folder: Path
) -> list[SampleObject]:
    """Write every result object of `selection` to `folder`, then those that `review` adds.

    A signed review adds the verified reports, and the segmentation of the image whose outlines
    the reader changed.

    Raises:
        DicomError: An object cannot be built, or does not pass verification.
    """
    built = build_set(selection, result)
    signing = Signing(
        review,
        published={spec: datasets for spec, datasets in built.items() if spec.kind == "seg"},
        predecessors={
            spec: ReportReference(
                str(report.StudyInstanceUID),
                str(report.SeriesInstanceUID),
                str(report.SOPClassUID),
                str(report.SOPInstanceUID),
            )
            for spec, (report, *_) in built.items()
            if spec.kind == "sr"
        },
    )
    signed = build_signed_set(selection, result, signing)
    return [
        *_write_verified("", built, folder, result, None),
        *_write_verified(SIGNED_PREFIX, signed, folder, result, review),
    ]


def _write_verified(
    prefix: str, built: Built, folder: Path, result: StudyResult, review: SignedReview | None
) -> Iterator[SampleObject]:
    for spec, datasets in built.items():
        name = f"{prefix}{spec}"
        for number, dataset in enumerate(datasets, start=1):
            file = f"{name.replace(':', '-').replace('/', '-')}.{number}.dcm"
            path = write_dataset(dataset, folder / file).path
            verify(spec, path, dataset, result, review)
            yield SampleObject(name, path, _read_instance(path))


def _read_instance(path: Path) -> InstanceReference:
    header = read_without_pixels(path)
    return InstanceReference(
        str(header.SOPClassUID),
        str(header.file_meta.TransferSyntaxUID),
        str(header.StudyInstanceUID),
        str(header.SeriesInstanceUID),
        str(header.SOPInstanceUID),
    )
