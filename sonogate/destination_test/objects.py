"""The objects of a destination test: written to disk and verified there."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydicom.dataset import Dataset

from dicom.files import read_without_pixels, write_dataset
from dicom.results.catalogue import ResultStream, build_set, build_signed_set, parse_spec, verify
from dicom.results.model import ReportReference, SignedReview, StudyResult
from dicom.results.result_kind import ResultRole, ResultSpec, SigningInputs, reference_to
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
    unsigned = _write_verified("", build_set(selection, result), folder, result)
    published: dict[ResultSpec, list[Dataset]] = {}
    reports: dict[ResultSpec, ReportReference] = {}
    for sample in unsigned:
        spec = parse_spec(sample.spec)
        if spec.role is ResultRole.SEGMENTATION:
            published.setdefault(spec, []).append(read_without_pixels(sample.path))
        elif spec.role is ResultRole.REPORT:
            reports[spec] = reference_to(read_without_pixels(sample.path))
    signed = build_signed_set(selection, result, SigningInputs(review, published, reports))
    return [*unsigned, *_write_verified(SIGNED_PREFIX, signed, folder, result, review)]


def _write_verified(
    prefix: str,
    objects: ResultStream,
    folder: Path,
    result: StudyResult,
    review: SignedReview | None = None,
) -> list[SampleObject]:
    samples: list[SampleObject] = []
    numbers: Counter[ResultSpec] = Counter()
    for spec, dataset in objects:
        name = f"{prefix}{spec}"
        numbers[spec] += 1
        file = f"{name.replace(':', '-').replace('/', '-')}.{numbers[spec]}.dcm"
        path = write_dataset(dataset, folder / file).path
        verify(spec, path, dataset, result, review)
        samples.append(SampleObject(name, path, _read_instance(path)))
    return samples


def _read_instance(path: Path) -> InstanceReference:
    header = read_without_pixels(path)
    return InstanceReference(
        str(header.SOPClassUID),
        str(header.file_meta.TransferSyntaxUID),
        str(header.StudyInstanceUID),
        str(header.SeriesInstanceUID),
        str(header.SOPInstanceUID),
    )
