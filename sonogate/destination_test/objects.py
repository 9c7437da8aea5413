"""The objects that a destination is tried out with: written to disk, and checked there."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dicom.files import read_without_pixels, write_dataset
from dicom.results.catalogue import Built, Signing, build_set, build_signed_set, verify
from dicom.results.model import ReportReference, SignedReview, StudyResult
from workers.peers.query_scu import Instance
from workers.results.selection import ResultSelection

IMAGE: Final = "image"
SIGNED: Final = "signed/"
"""Stands before the spec of what a signed review adds."""


@dataclass(frozen=True)
class Piece:
    """One object of the rehearsal, on disk."""

    spec: str
    path: Path
    instance: Instance


def make_images(result: StudyResult) -> list[Piece]:
    """What a viewer shows the results on."""
    return [Piece(IMAGE, image.source, _instance(image.source)) for image in result.images]


def make_results(
    result: StudyResult, review: SignedReview, selection: ResultSelection, folder: Path
) -> list[Piece]:
    """Write every object of `selection` and what the signed `review` adds to it: the verified reports
    and the segmentation of the image whose outlines the reader changed. Raises DicomError.
    """
    built = build_set(selection, result)
    signed = build_signed_set(selection, result, _signing(review, built))
    return [
        *_written("", built, folder, result, None),
        *_written(SIGNED, signed, folder, result, review),
    ]


def _signing(review: SignedReview, built: Built) -> Signing:
    return Signing(
        review,
        published={spec: made for spec, made in built.items() if spec.kind == "seg"},
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


def _written(
    prefix: str, built: Built, folder: Path, result: StudyResult, review: SignedReview | None
) -> Iterator[Piece]:
    for spec, datasets in built.items():
        name = f"{prefix}{spec}"
        for number, dataset in enumerate(datasets, start=1):
            file = f"{name.replace(':', '-').replace('/', '-')}.{number}.dcm"
            path = write_dataset(dataset, folder / file).path
            verify(spec, path, dataset, result, review)
            yield Piece(name, path, _instance(path))


def _instance(path: Path) -> Instance:
    header = read_without_pixels(path)
    return Instance(
        str(header.SOPClassUID),
        str(header.file_meta.TransferSyntaxUID),
        str(header.StudyInstanceUID),
        str(header.SeriesInstanceUID),
        str(header.SOPInstanceUID),
    )
