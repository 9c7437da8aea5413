"""The catalogue of result kinds. Parses result specs, and builds and verifies result sets."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from pydicom.dataset import Dataset

from dicom.errors import UnknownResult
from dicom.results.encapsulated_pdf.kind import KIND as ENCAPSULATED_PDF
from dicom.results.heatmap_pm.kind import KIND as HEATMAP_PM
from dicom.results.heatmap_sc.kind import KIND as HEATMAP_SC
from dicom.results.heatmap_seg.kind import KIND as HEATMAP_SEG
from dicom.results.key_objects.kind import KIND as KEY_OBJECTS
from dicom.results.model import ReportReference, SignedReview, StudyResult
from dicom.results.presentation_state.kind import KIND as PRESENTATION_STATE
from dicom.results.result_kind import (
    BuildInputs,
    ResultKind,
    ResultRole,
    ResultSpec,
    SignedBuildInputs,
    SigningInputs,
)
from dicom.results.seg.kind import KIND as SEG
from dicom.results.sr.kind import KIND as SR
from dicom.results.verify import verify_written

_KINDS: Final = (
    SEG,
    SR,
    HEATMAP_SEG,
    HEATMAP_PM,
    HEATMAP_SC,
    KEY_OBJECTS,
    PRESENTATION_STATE,
    ENCAPSULATED_PDF,
)
CATALOGUE: Final[Mapping[str, ResultKind]] = MappingProxyType({kind.name: kind for kind in _KINDS})
"""Result kinds by name, in the order of sending. Referenced objects come first."""
DEFAULT: Final = (ResultSpec(SEG, SEG.variants[0]), ResultSpec(SR, SR.variants[0]))
"""The default result selection of a destination."""

ResultStream = Iterator[tuple[ResultSpec, Dataset]]
"""Objects in the order of sending. A caller that releases each object before requesting the next
one holds the pixels of only one object in memory."""


def parse_spec(text: str) -> ResultSpec:
    """Parse a result spec such as `seg`, `sr:comprehensive-3d` or `seg:fractional:every-frame`.

    Raises UnknownResult, whose text lists the valid values.
    """
    name, *words = text.strip().split(":")
    kind = CATALOGUE.get(name)
    if kind is None:
        raise UnknownResult(f"{name!r} is not a result kind. Use one of: {', '.join(CATALOGUE)}.")
    options = tuple(option for option in kind.options if option in words)
    for option in options:
        words.remove(option)
    variant = words[0] if words else kind.variants[0]
    if len(words) > 1 or variant not in kind.variants:
        known = ", ".join((*kind.variants, *kind.options))
        raise UnknownResult(f"{text!r} is not a variant of {name}. Use one of: {known}.")
    return ResultSpec(kind, variant, options)


def sort_specs(specs: Iterable[ResultSpec]) -> list[ResultSpec]:
    """Return `specs` in the order of sending, without duplicates."""
    return sorted(dict.fromkeys(specs), key=lambda spec: _KINDS.index(spec.kind))


def build_set(
    specs: Iterable[ResultSpec],
    result: StudyResult,
    predecessors: Mapping[ResultSpec, ReportReference] = MappingProxyType({}),
    edition: str = "",
) -> ResultStream:
    """Build the result set of an analysis for one destination.

    A report references its entry in `predecessors` as the report that it replaces. `edition`
    changes the UIDs of reports only. Raises DicomError.
    """
    segmentations: dict[ResultSpec, list[Dataset]] = {}
    for spec in sort_specs(specs):
        inputs = BuildInputs(spec, result, segmentations, predecessors.get(spec), edition)
        yield from _collect_segmentations(spec, spec.kind.build(inputs), segmentations)


def build_signed_set(
    specs: Iterable[ResultSpec], result: StudyResult, signing: SigningInputs
) -> ResultStream:
    """Build the result set of a signed review for a destination that receives `specs`.

    Raises DicomError, and KeyError for a report without a predecessor.
    """
    edited: dict[ResultSpec, list[Dataset]] = {}
    for spec in sort_specs(specs):
        if spec.kind.build_signed is not None:
            inputs = SignedBuildInputs(spec, result, signing, edited)
            yield from _collect_segmentations(spec, spec.kind.build_signed(inputs), edited)


def _collect_segmentations(
    spec: ResultSpec, objects: Iterable[Dataset], collected: dict[ResultSpec, list[Dataset]]
) -> ResultStream:
    """Yield `objects`, and collect the headers of segmentations for the reports that follow."""
    for dataset in objects:
        if spec.role is ResultRole.SEGMENTATION:
            header = Dataset(
                {element.tag: element for element in dataset if element.keyword != "PixelData"}
            )
            collected.setdefault(spec, []).append(header)
        yield spec, dataset
        del dataset  # otherwise it stays in memory while the next one is built


def find_omissions(specs: Iterable[ResultSpec], result: StudyResult) -> dict[str, list[str]]:
    """Return the reasons for which objects are missing from a result set, by the text of the spec.

    For example, a Parametric Map requires a plane, which most images do not have. The reasons
    contain no UIDs and no attribute values. Raises DicomError.
    """
    omissions = {}
    for spec in sort_specs(specs):
        if spec.kind.find_omissions is not None:
            reasons = sorted(set(spec.kind.find_omissions(result)))
            if reasons:
                omissions[str(spec)] = reasons
    return omissions


def verify(
    spec: ResultSpec,
    path: Path,
    written: Dataset,
    result: StudyResult,
    review: SignedReview | None = None,
) -> None:
    """Verify that `path` contains `written`, and that `written` agrees with `result`.

    `review` is required for an object of `build_signed_set`. Raises ReadBackMismatch.
    """
    verify_written(path, written)
    if review is None:
        spec.kind.verify(path, result)
    elif spec.kind.verify_signed is not None:
        spec.kind.verify_signed(path, result, review)
