"""Result kinds, with the functions that build and verify their objects.

Each kind is a folder beside this module. Its `kind.py` exports one `ResultKind` as `KIND`, and
`dicom.results.catalogue` lists them all. Code outside these folders distinguishes kinds by their
`ResultRole`, not by name.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydicom.dataset import Dataset

from dicom.results.model import ReportReference, SignedReview, StudyResult


class ResultRole(StrEnum):
    """The purpose of the objects of a result kind."""

    SEGMENTATION = "segmentation"
    """Lesions as pixels. Reports refer to them, so they are built and sent before reports."""
    REPORT = "report"
    """The findings as coded content. A report references its predecessor and the segmentations of
    its result selection, so each selection has its own reports."""
    EXPLANATION = "explanation"
    """Shows what the class of an image depends on."""
    MARK = "mark"
    """Marks frames with findings, or the findings on them."""
    DOCUMENT = "document"
    """A page of text and pictures. Unlike a report, it has no predecessor and is not referenced."""


@dataclass(frozen=True)
class ResultSpec:
    """A result kind in one variant, with options."""

    kind: "ResultKind"
    variant: str
    options: tuple[str, ...] = ()

    @property
    def role(self) -> ResultRole:
        return self.kind.role

    def __str__(self) -> str:
        """Return the shortest text that `dicom.results.catalogue.parse_spec` parses as this spec:
        `kind`, `kind:variant`, `kind:option` or `kind:variant:option`.
        """
        variant = () if self.variant == self.kind.variants[0] else (self.variant,)
        return ":".join((self.kind.name, *variant, *self.options))

    @property
    def explicit_text(self) -> str:
        """The text with the variant, even if it is the default: `seg:binary`. For what is stored,
        because a later release may have another default.
        """
        return ":".join((self.kind.name, self.variant, *self.options))


BuiltObjects = Mapping[ResultSpec, Sequence[Dataset]]
"""Objects of one result set by spec. Their pixels may be absent."""


def _no_entries() -> Mapping[ResultSpec, Any]:
    return MappingProxyType({})


@dataclass(frozen=True, eq=False)
class BuildInputs:
    """The inputs for the objects of one spec."""

    spec: ResultSpec
    result: StudyResult
    segmentations: BuiltObjects = field(default_factory=_no_entries)
    """Segmentations of the same result set."""
    predecessor: ReportReference | None = None
    """The report that the new one replaces."""
    edition: str = ""
    """Part of the UIDs of reports, which differ between editions of the same analysis."""


@dataclass(frozen=True, eq=False)
class SigningInputs:
    """The inputs for the objects of a signed review, in addition to the analysis."""

    review: SignedReview
    published: BuiltObjects
    """The segmentations of the analysis that the destination received."""
    predecessors: Mapping[ResultSpec, ReportReference]
    """The reports that were reviewed or, for an amendment, the signed reports that it amends."""
    earlier: Mapping[ResultSpec, Sequence[ReportReference]] = field(default_factory=_no_entries)
    """Signed reports of earlier revisions of the study, before late images arrived."""


@dataclass(frozen=True, eq=False)
class SignedBuildInputs:
    """The inputs for the objects that a signed review adds to one spec."""

    spec: ResultSpec
    result: StudyResult
    signing: SigningInputs
    edited: BuiltObjects = field(default_factory=_no_entries)
    """Segmentations of the same signed review."""


@dataclass(frozen=True, eq=False)
class ResultKind:
    """A type of DICOM object that Sonogate creates.

    `build` and `build_signed` return no objects when the analysis or the review has nothing to
    show. UIDs are derived from the inputs, so that rebuilding gives the same bytes. Both raise
    DicomError. `verify` and `verify_signed` raise ReadBackMismatch when the file does not agree
    with the result, or with its review.
    """

    name: str
    description: str
    role: ResultRole
    variants: tuple[str, ...]
    """The first is the default."""
    build: Callable[[BuildInputs], Iterable[Dataset]]
    verify: Callable[[Path, StudyResult], object]
    options: tuple[str, ...] = ()
    build_signed: Callable[[SignedBuildInputs], Iterable[Dataset]] | None = None
    """None: a signed review adds nothing of this kind."""
    verify_signed: Callable[[Path, StudyResult, SignedReview], object] | None = None
    find_omissions: Callable[[StudyResult], Sequence[str]] | None = None
    """Return one reason for each image that lacks an object, without UIDs and attribute values.
    None: no image can lack one."""


def reference_to(report: Dataset) -> ReportReference:
    """Return the reference by which a successor of `report` names it."""
    return ReportReference(
        study_instance_uid=str(report.StudyInstanceUID),
        series_instance_uid=str(report.SeriesInstanceUID),
        sop_class_uid=str(report.SOPClassUID),
        sop_instance_uid=str(report.SOPInstanceUID),
    )
